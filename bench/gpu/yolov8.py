"""YOLOv8s in PyTorch, as a peer for models/yolov8s.raw: the same layers, random weights."""
import torch
from torch import nn


class Conv(nn.Module):
    def __init__(self, c, m, k=1, s=1):
        super().__init__()
        self.c = nn.Conv2d(c, m, k, s, k // 2, bias=False)
        self.b = nn.BatchNorm2d(m)
        self.a = nn.SiLU()

    def forward(self, x):
        return self.a(self.b(self.c(x)))


class Bottleneck(nn.Module):
    def __init__(self, c, shortcut):
        super().__init__()
        self.a, self.b, self.shortcut = Conv(c, c, 3), Conv(c, c, 3), shortcut

    def forward(self, x):
        y = self.b(self.a(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    def __init__(self, c, m, n, shortcut):
        super().__init__()
        self.a, self.b = Conv(c, m), Conv((2 + n) * (m // 2), m)
        self.m = nn.ModuleList(Bottleneck(m // 2, shortcut) for _ in range(n))

    def forward(self, x):
        parts = list(self.a(x).chunk(2, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.b(torch.cat(parts, 1))


class Pyramid(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b, self.p = Conv(c, c // 2), Conv(c * 2, c), nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        x = self.a(x)
        y = self.p(x)
        z = self.p(y)
        return self.b(torch.cat((x, y, z, self.p(z)), 1))


class Detect(nn.Module):
    """Boxes and classes of three maps: distances as expectations over 16 bins, then corners to centres."""

    def __init__(self, widths, classes=80, bins=16):
        super().__init__()
        self.classes, self.bins = classes, bins
        self.boxes = nn.ModuleList(
            nn.Sequential(Conv(c, 64, 3), Conv(64, 64, 3), nn.Conv2d(64, 4 * bins, 1)) for c in widths)
        self.kinds = nn.ModuleList(
            nn.Sequential(Conv(c, 128, 3), Conv(128, 128, 3), nn.Conv2d(128, classes, 1)) for c in widths)
        self.register_buffer("bin", torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1))

    def forward(self, maps):
        out, places, strides = [], [], []
        for x, boxes, kinds, stride in zip(maps, self.boxes, self.kinds, (8, 16, 32)):
            h, w = x.shape[2:]
            out.append(torch.cat((boxes(x), kinds(x)), 1).flatten(2))
            ys, xs = torch.meshgrid(torch.arange(h, device=x.device, dtype=x.dtype) + 0.5,
                                    torch.arange(w, device=x.device, dtype=x.dtype) + 0.5, indexing="ij")
            places.append(torch.stack((xs, ys)).flatten(1))
            strides.append(torch.full((h * w,), stride, device=x.device, dtype=x.dtype))
        boxes, kinds = torch.cat(out, 2).split((4 * self.bins, self.classes), 1)
        n, _, count = boxes.shape
        share = boxes.view(n, 4, self.bins, count).transpose(1, 2).softmax(1)
        low, high = (share * self.bin.to(share.dtype)).sum(1).chunk(2, 1)
        place = torch.cat(places, 1)[None]
        low, high = place - low, place + high
        box = torch.cat(((low + high) / 2, high - low), 1) * torch.cat(strides)
        return torch.cat((box, kinds.sigmoid()), 1)


class YoloV8s(nn.Module):
    def __init__(self):
        super().__init__()
        self.s0, self.s1, self.c2 = Conv(3, 32, 3, 2), Conv(32, 64, 3, 2), C2f(64, 64, 1, True)
        self.s3, self.c4 = Conv(64, 128, 3, 2), C2f(128, 128, 2, True)
        self.s5, self.c6 = Conv(128, 256, 3, 2), C2f(256, 256, 2, True)
        self.s7, self.c8, self.sp = Conv(256, 512, 3, 2), C2f(512, 512, 1, True), Pyramid(512)
        self.up = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.c12, self.c15 = C2f(768, 256, 1, False), C2f(384, 128, 1, False)
        self.s16, self.c18 = Conv(128, 128, 3, 2), C2f(384, 256, 1, False)
        self.s19, self.c21 = Conv(256, 256, 3, 2), C2f(768, 512, 1, False)
        self.head = Detect((128, 256, 512))

    def forward(self, x):
        x4 = self.c4(self.s3(self.c2(self.s1(self.s0(x)))))
        x6 = self.c6(self.s5(x4))
        x9 = self.sp(self.c8(self.s7(x6)))
        x12 = self.c12(torch.cat((self.up(x9), x6), 1))
        x15 = self.c15(torch.cat((self.up(x12), x4), 1))
        x18 = self.c18(torch.cat((self.s16(x15), x12), 1))
        x21 = self.c21(torch.cat((self.s19(x18), x9), 1))
        return self.head((x15, x18, x21))
