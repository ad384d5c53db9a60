"""Read a page with RapidOCR's own pre- and post-processing, and Dyno's engines (or, to compare,
ONNX Runtime) under it."""
import json
import logging
import subprocess

import dyno


def _session_class(engine_of, metadata_of):
    """What RapidOCR asks of an inference session, over an engine."""

    class DynoSession:
        def __init__(self, cfg):
            path = str(cfg["model_path"])
            self.engine = dyno.Engine(engine_of[path])
            self.metadata = metadata_of[path]

        def __call__(self, image):
            outputs = self.engine.run({self.engine.inputs[0].name: image})
            return outputs[self.engine.outputs[0].name]

        def have_key(self, key="character"):
            return key in self.metadata

        def get_character_list(self, key="character"):
            return self.metadata[key].splitlines()

    return DynoSession


def _metadata(program, model):
    """metadata_props of an ONNX file: PP-OCR keeps its alphabet there."""
    text = subprocess.run([program, "inspect", "model", model, "--json"], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text)["metadata"]


def _lines(models, page):
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    det, rec, cls = map(str, models)
    reader = RapidOCR(params={"Det.model_path": det, "Rec.model_path": rec, "Cls.model_path": cls,
                              "Global.log_level": "error"})
    result = reader(str(page))
    return list(zip(result.txts or [], result.scores or []))


def read_page_with_onnxruntime(models, page):
    """[(text, score)] of the lines on the page, top to bottom, as RapidOCR comes.  Call it before
    read_page, which replaces RapidOCR's session."""
    return _lines(models, page)


def read_page(program, models, engines, page):
    """[(text, score)] of the lines on the page, top to bottom.  models and engines: det, rec, cls."""
    from rapidocr.ch_ppocr_cls import main as cls_main
    from rapidocr.ch_ppocr_det import main as det_main
    from rapidocr.ch_ppocr_rec import main as rec_main

    engine_of = dict(zip(map(str, models), engines))
    metadata_of = {str(m): _metadata(program, m) for m in models}
    session = _session_class(engine_of, metadata_of)
    for module in (cls_main, det_main, rec_main):
        module.get_engine = lambda engine_type: session
    return _lines(models, page)
