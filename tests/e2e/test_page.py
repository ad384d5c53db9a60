"""A scanned page read by RapidOCR over ONNX Runtime, over Dyno, and over Dyno's server by HTTP and gRPC:
the same lines, in the same order, with the same text and nearly the same score.

    DYNO_LIBRARY=libdyno.so python test_page.py --dyno PATH --cache FOLDER

FOLDER holds the models and the page (scripts/fetch_models.sh).  Engines are made as the
demonstration makes them, but without timing.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import unittest.mock

import tritonclient.grpc
import tritonclient.http

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TREE / "python"), str(TREE / "demo")]

import dyno  # noqa: E402
from demo import MODELS, fill_repository, serving  # noqa: E402
from read_page import read_page, read_page_over_network, read_page_with_onnxruntime  # noqa: E402

SCORE_TOLERANCE = 1e-3  # RapidOCR rounds to five digits
LINES_MIN = 6  # of print, without what the eye reads as noise


def build(program, folder, path, profile):
    engine = pathlib.Path(folder, path.stem + ".engine")
    subprocess.run([program, "build", f"--onnx={path}", f"--saveEngine={engine}",
                    "--builderOptimizationLevel=0", *profile], check=True, stdout=subprocess.DEVNULL)
    return engine


def check_same(name, got, want):
    print(f"{name}:")
    for text, score in got:
        print(f"  {score:.4f}  {text}")
    if [text for text, _ in got] != [text for text, _ in want]:
        sys.exit("the texts differ")
    worst = max(abs(a - b) for (_, a), (_, b) in zip(got, want))
    if worst > SCORE_TOLERANCE:
        sys.exit(f"a score differs by {worst:.2g}, more than {SCORE_TOLERANCE:g}")
    print(f"{len(got)} lines, the same; scores within {worst:.2g}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dyno", required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    args = parser.parse_args()
    models = [args.cache / model["file"] for model in MODELS]
    page = args.cache / "page.png"
    want = read_page_with_onnxruntime(models, page)
    if len(want) < LINES_MIN:
        sys.exit(f"ONNX Runtime reads {len(want)} lines, the page has at least {LINES_MIN}")
    with tempfile.TemporaryDirectory(prefix="dyno-page-") as folder:
        engines = [build(args.dyno, folder, path, model["profile"]) for path, model in zip(models, MODELS)]
        with unittest.mock.patch.object(dyno.Engine, "run", autospec=True,
                                        side_effect=dyno.Engine.run) as run:
            check_same("Dyno", read_page(args.dyno, models, engines, page), want)
            if run.call_count == 0:
                sys.exit("no engine of Dyno ran: it is not Dyno that read the page")
            run.reset_mock()
            args.cache = pathlib.Path(folder)
            with serving(args, fill_repository(args, engines)) as ports:
                for module, name in ((tritonclient.http, "http"), (tritonclient.grpc, "grpc")):
                    check_same(name, read_page_over_network(args.dyno, models, [m["served"] for m in MODELS], page,
                                                            f"127.0.0.1:{ports[name]}", module), want)
            if run.call_count != 0:
                sys.exit("an engine ran in this process")


if __name__ == "__main__":
    main()
