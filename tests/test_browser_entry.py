"""`ci/browser.sh`: a Chromium for the tests of the report, or a loud word that there is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("bash", "env", "id", "mktemp", "rm", "tail")


def program(path: Path, script: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """The only programs that the script finds; the user is root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or name)
    (folder / "id").unlink()
    program(folder / "id", "echo 0")
    return folder


def ended(tools: Path) -> tuple[int, list[str]]:
    entry = [str(shutil.which("bash")), str(ROOT / "ci" / "browser.sh")]
    environment = {"PATH": str(tools), "TMPDIR": str(tools.parent)}
    done = subprocess.run(entry, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_chromium_that_is_there_is_named(tools: Path) -> None:
    program(tools / "chromium", "echo Chromium 9.9")
    assert ended(tools) == (0, ["browser: Chromium 9.9"])


def test_one_is_installed_where_that_is_possible(tools: Path) -> None:
    there = tools / "chromium"
    program(
        tools / "apt-get",
        f"""[[ $1 == install ]] || exit 0
        [[ " $* " == *" -y "*" chromium "* ]] || exit 1
        printf '#!%s\\necho Chromium 9.9\\n' "$BASH" > {there}
        /bin/chmod +x {there}""",
    )
    told = ["browser: none; apt-get install chromium", "browser: Chromium 9.9"]
    assert ended(tools) == (0, told)


def test_that_none_can_be_installed_is_loud(tools: Path) -> None:
    none = "browser: NONE, and none could be installed: the HTML report is NOT tested in a browser"
    assert ended(tools) == (1, [none])
    program(tools / "apt-get", "echo E: no network; exit 100")
    said = ["browser: none; apt-get install chromium", "E: no network", none]
    assert ended(tools) == (1, said)
    (tools / "id").write_text(f"#!{shutil.which('bash')}\necho 1000\n")
    assert ended(tools) == (1, [none])
