"""The config classes of torchao that are no scheme of this suite, each with the reason.

A key is `module:name`; a package stands for the modules in it. A class of torchao that neither a
scheme nor this list names fails `tests/test_schemes.py`: read it, then add it to one of the two.
"""

TRAINING = "trains a model: it gives no checkpoint that is loaded for inference"
QAT = "prepares or ends quantization-aware training, and swaps modules for fake quantization"
CALIBRATED = "a flow of several steps around a calibration; its result is another scheme's tensor"
MODULE_SWAP = "replaces modules and gives no tensor subclass"
BASE = "a base class"

NOT_SCHEMES = {
    "torchao.core:AOBaseConfig": BASE,
    "torchao.experimental:UIntxWeightOnlyConfig": f"for Apple's MPS only; {MODULE_SWAP}",
    "torchao.experimental:Int8DynamicActivationIntxWeightConfig": (
        "raises when it is made: the class has moved to torchao.quantization"
    ),
    "torchao.prototype.awq:AWQConfig": CALIBRATED,
    "torchao.prototype.awq:AWQUIntXConfig": CALIBRATED,
    "torchao.prototype.blockwise_fp8_training:Float8BlockwiseLinearConfig": TRAINING,
    "torchao.prototype.gptq:GPTQConfig": CALIBRATED,
    "torchao.prototype.moe_quant:MoEQuantConfig": "wraps another config for the experts of a model",
    "torchao.prototype.moe_training": TRAINING,
    "torchao.prototype.mx_formats:MXInferenceLinearConfig": MODULE_SWAP,
    "torchao.prototype.mx_formats:MXLinearConfig": TRAINING,
    "torchao.prototype.parq.quant.quant_api:StretchedIntxWeightOnlyConfig": QAT,
    "torchao.prototype.quantization.dynamic_activation_lut": (
        "packs a tensor that parameter quantization has left, for one ARM kernel"
    ),
    "torchao.prototype.quantization.mixed_precision:IntNWeightOnlyConfig": (
        "a research script; it raises since its tensor subclass was removed (pytorch/ao#4151)"
    ),
    "torchao.prototype.quantized_training": TRAINING,
    "torchao.prototype.smoothquant:SmoothQuantConfig": CALIBRATED,
    "torchao.prototype.sparsity:SRELUFloat8SemiSparseDynamicActivationFloat8WeightConfig": (
        MODULE_SWAP
    ),
    "torchao.quantization.qat": QAT,
}
