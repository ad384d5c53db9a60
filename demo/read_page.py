"""Read a page with RapidOCR's own pre- and post-processing, and under it Dyno's engines, in this process
or over the network, or, to compare, ONNX Runtime."""
import json
import logging
import subprocess

import dyno


def _session_class(run_of, metadata_of):
    """What RapidOCR asks of an inference session.  run_of: the model's path -> a function of an image."""

    class Session:
        def __init__(self, cfg):
            path = str(cfg["model_path"])
            self.run = run_of[path]
            self.metadata = metadata_of[path]

        def __call__(self, image):
            return self.run(image)

        def have_key(self, key="character"):
            return key in self.metadata

        def get_character_list(self, key="character"):
            return self.metadata[key].splitlines()

    return Session


def _run_here(engine_path):
    engine = dyno.Engine(engine_path)
    return lambda image: engine.run({engine.inputs[0].name: image})[engine.outputs[0].name]


def _run_there(client, module, model, asked):
    """Through a client of Triton's; module is tritonclient.http or tritonclient.grpc.  asked: headers and
    parameters of its requests, and a list for the ids of their usage records."""
    headers, parameters, records = asked
    told = client.get_model_metadata(model, headers=headers)
    told = told if isinstance(told, dict) else {"inputs": [{"name": told.inputs[0].name}],
                                                "outputs": [{"name": told.outputs[0].name}]}

    def run(image):
        item = module.InferInput(told["inputs"][0]["name"], image.shape, "FP32")
        item.set_data_from_numpy(image)
        got = client.infer(model, [item], headers=headers, parameters=parameters)
        response = got.get_response()
        if isinstance(response, dict) and "record" in response.get("parameters", {}):
            records.append(response["parameters"]["record"])
        return got.as_numpy(told["outputs"][0]["name"])
    return run


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


def _read(program, models, runs, page):
    from rapidocr.ch_ppocr_cls import main as cls_main
    from rapidocr.ch_ppocr_det import main as det_main
    from rapidocr.ch_ppocr_rec import main as rec_main

    metadata_of = {str(m): _metadata(program, m) for m in models}
    session = _session_class(dict(zip(map(str, models), runs)), metadata_of)
    for module in (cls_main, det_main, rec_main):
        module.get_engine = lambda engine_type: session
    return _lines(models, page)


def read_page(program, models, engines, page):
    """[(text, score)] of the lines on the page, top to bottom.  models and engines: det, rec, cls."""
    return _read(program, models, [_run_here(e) for e in engines], page)


def read_page_over_network(program, models, names, page, url, module, headers=None, parameters=None, records=None):
    """The same through a server at `url`, which has the models under `names`.  With a ledger it tells the ids of usage
    records: they are added to `records` (over HTTP)."""
    client = module.InferenceServerClient(url)
    asked = (headers, parameters, records if records is not None else [])
    try:
        return _read(program, models, [_run_there(client, module, n, asked) for n in names], page)
    finally:
        client.close()
