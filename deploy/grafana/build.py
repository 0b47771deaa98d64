"""Write the dashboards as JSON for Grafana 11.6: `python deploy/grafana/build.py [--check]`.

With --check nothing is written; the exit code says whether the checked-in JSON is what this code makes.
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from health import health
from study import study
from volunteers import volunteers

FOLDER = Path(__file__).parent / "dashboards"


def render() -> dict[Path, str]:
    """Return each dashboard's file and text. Panels are numbered in their order, so that links to them hold."""
    texts = {}
    for builder in (study(), health(), volunteers()):
        model = builder.build()
        for number, panel in enumerate(model.panels or [], 1):
            panel.id_val = number
        text = json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        texts[FOLDER / f"{model.uid}.json"] = text + "\n"
    return texts


def main() -> int:
    texts = render()
    if "--check" in sys.argv:
        stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"{path}: not what the code makes; run: python deploy/grafana/build.py", file=sys.stderr)
        return bool(stale)
    FOLDER.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
