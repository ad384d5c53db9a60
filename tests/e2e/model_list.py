"""The models of the end-to-end tests; without any package, so that whoever only wants their names needs none."""
IMAGE = [(1, 3, 224, 224), (3, 3, 224, 224)]
TEXT = [(1, 128), (2, 17)]
# name -> shapes of the input; the first is what the engine is tuned for
MODELS = {
    "resnet18.raw": IMAGE, "resnet50.raw": IMAGE, "resnet50.fold": IMAGE, "resnet50.dyn": IMAGE[:1],
    "mobilenet_v2.raw": IMAGE, "mobilenet_v2.fold": IMAGE,
    "efficientnet_b0.raw": IMAGE, "efficientnet_b0.fold": IMAGE, "squeezenet1_1.raw": IMAGE,
    "yolov8n.raw": [(1, 3, 640, 640), (2, 3, 640, 640)], "yolov8n.fold": [(1, 3, 640, 640)],
    "yolov8n.dyn": [(1, 3, 640, 640)], "yolov8s.raw": [(1, 3, 640, 640)],
    "unet.raw": [(1, 3, 128, 128), (3, 3, 128, 128)],
    "bert_base.raw": TEXT, "bert_base.fold": TEXT, "bert_base.dyn": TEXT[:1], "bert_large.raw": [(1, 33)],
    "distilbert.raw": TEXT, "deit_small.raw": IMAGE, "convnext_tiny.raw": IMAGE,
    "wav2vec2.raw": [(1, 16000), (2, 20481)], "wav2vec2.fold": [(1, 16000), (1, 9999)],
    "wav2vec2.dyn": [(1, 16000)],
    "segformer.raw": [(1, 3, 256, 256)], "whisper_enc.raw": [(1, 80, 3000)], "swin_t.raw": [(1, 3, 224, 224)],
    "lstm_gru.raw": [(2, 19)],
    "PP-OCRv6_det_small": [(1, 3, 640, 640), (1, 3, 96, 352), (2, 3, 160, 32)],
    "PP-OCRv6_rec_small": [(1, 3, 48, 320), (6, 3, 48, 320), (2, 3, 48, 133)],
    "ch_ppocr_mobile_v2.0_cls_mobile": [(1, 3, 48, 192), (5, 3, 48, 192)],
    "magika": [(1, 2048), (3, 2048)],
}
