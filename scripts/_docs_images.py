"""docs/images/report.png: the top of the report of the quickstart, as Chromium shows it; run by `scripts/docs images`."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "docs" / "images" / "report.png"
RUN = ROOT / "runs" / "quickstart"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WIDTH, _HEIGHT, _MAX_BYTES = 1200, 900, 300_000


def main(run: Path = RUN) -> int:
    """Write the picture of a run's report; the run is made where it is missing."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        print("the picture needs Chromium: apt-get install chromium (or brew install chromium)", file=sys.stderr)
        return 2
    if not (run / "report.html").is_file():
        subprocess.run(["hftransfer", "run", "quickstart", "--out", str(run)], check=True)
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"]
        size = f"--window-size={_WIDTH},{_HEIGHT}"
        page = (run / "report.html").absolute().as_uri()
        subprocess.run([browser, *options, size, f"--screenshot={shot}", page], check=True, capture_output=True)
        with Image.open(shot) as picture:
            # A palette is enough for text and plots, and a third of the size.
            small = picture.convert("RGB").crop((0, 0, _WIDTH, _HEIGHT)).quantize(128, dither=Image.Dither.NONE)
    IMAGE.parent.mkdir(exist_ok=True)
    small.save(IMAGE, optimize=True)
    size_in_bytes = IMAGE.stat().st_size
    print(f"{IMAGE.relative_to(ROOT)}: {size_in_bytes:,} bytes")
    return 0 if size_in_bytes < _MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
