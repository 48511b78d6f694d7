"""docs/images/report.png: the report of the quickstart in two columns, by Chromium; run by `scripts/docs images`."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "docs" / "images" / "report.png"
RUN = ROOT / "runs" / "quickstart"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WIDTH, _HEIGHT, _MAX_BYTES = 1200, 900, 300_000
# A page is long and narrow: two columns show scores and plots side by side.
_COLUMNS = """<style>
html { zoom: .72; }
main { max-width: none; height: 1190px; columns: 2; column-gap: 2.5rem; column-fill: auto; padding: 1.5rem 2rem; }
main > * { break-inside: avoid; margin: 0 0 1.1rem; }
figure img { max-height: 20.5rem; width: auto; }
caption { white-space: normal; }
</style></head>"""


def main(run: Path = RUN) -> int:
    """Write the picture of a run's report; the run is made where it is missing."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        print("the picture needs Chromium: apt-get install chromium (macOS: brew install chromium)", file=sys.stderr)
        return 2
    if not (run / "report.html").is_file():
        subprocess.run(["hftransfer", "run", "quickstart", "--out", str(run)], check=True)
    IMAGE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "report.html", Path(folder) / "shot.png"
        page.write_text(
            (run / "report.html").read_text(encoding="utf-8").replace("</head>", _COLUMNS), encoding="utf-8"
        )
        _photograph(browser, page, shot)
        with Image.open(shot) as picture:
            # A palette is enough for text and plots, and a third of the size.
            whole = _without_margin(picture.convert("RGB"))
            whole.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(IMAGE, optimize=True)
    print(f"{IMAGE.relative_to(ROOT)}: {IMAGE.stat().st_size:,} bytes")
    return 0 if IMAGE.stat().st_size < _MAX_BYTES else 1


def _photograph(browser: str, page: Path, shot: Path) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=2"]
    places = [f"--user-data-dir={page.parent}", f"--screenshot={shot}", page.as_uri()]
    size = f"--window-size={_WIDTH},{_HEIGHT}"
    subprocess.run([browser, *options, size, *places], check=True, capture_output=True)


def _without_margin(picture: Image.Image) -> Image.Image:
    """The picture without the white rows at its lower end, but for a few."""
    box = ImageChops.invert(picture).getbbox()
    return picture.crop((0, 0, picture.width, min(picture.height, box[3] + 40))) if box else picture


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
