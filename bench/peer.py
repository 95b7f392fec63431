"""The cases of this folder in PyTorch: the same operands, the same arithmetic, one case in one process.

    python3 peer.py CASE FOLDER [--threads N] [--budget SECONDS] [--results]

FOLDER holds the operands, in order, as Nanograd made them: operands.bin (little-endian, one after another) and
operands.json (their types and shapes). With --results, what the first run gave is written there as peer.bin and
peer.json, in the order that the case's other half gives it. Prints one line of JSON.

A case is a function of the operands that gives a step, a function without arguments, and optionally what is shown of a
step's result for comparison. Only the step is timed.
"""
import argparse
import json
import math
import os
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CASES = {}


def case(*names, **options):
    def note(f):
        for name in names:
            CASES[name] = lambda operands, f=f: f(*operands, **options)
        return f
    return note


def both(*pairs):
    """One function under several names, with arguments."""
    def note(f):
        for name, options in pairs:
            CASES[name] = lambda operands, options=options: f(*operands, **options)
        return f
    return note


def forward(f):
    """A step without gradients."""
    def step():
        with torch.no_grad():
            return f()
    return step


# ------------------------------------------------------------------------------------------------ products

@case("gemm_64", "gemm_128", "gemm_256", "gemm_512", "gemm_1024", "gemm_2048", "gemm_1024_1t", "gemm_17", "gemm_127",
      "gemm_509", "gemm_1021", "gemm_tall", "gemm_thin")
def gemm(a, b):
    return lambda: torch.mm(a, b)


@case("gemm_tt_700")
def gemm_transposed(a, b):
    return lambda: torch.mm(a.t(), b.t())


@case("gemm_strided_600")
def gemm_strided(a, b):
    return lambda: torch.mm(a[:, ::2], b[::2])


@case("gemm_linear3")
def gemm_linear3(x, w, dy):
    return lambda: (x @ w.t(), dy @ w, dy.t() @ x)


@case("bmm_64x64x64", "bmm_31")
def bmm(a, b):
    return lambda: torch.bmm(a, b)


@case("gemv_4096", "gemv_3001")
def gemv(w, x):
    return lambda: torch.mv(w, x)


# ------------------------------------------------------------------------------------------------ passes over memory

def gradients_of(f, *operands):
    """The gradients of the sum of f."""
    for t in operands:
        t.requires_grad_(True)
    return lambda: torch.autograd.grad(f(*operands).sum(), operands)


def gradients_given(f, dy, *operands):
    """The gradients of the operands, given that of the result."""
    for t in operands:
        t.requires_grad_(True)
    return lambda: torch.autograd.grad(f(*operands), operands, dy)


@both(*[(f"{name}_{'fwdbwd' if back else 'fwd'}", dict(approximate=approximate, back=back))
        for name, approximate in (("gelu_erf", "none"), ("gelu_tanh", "tanh"), ("gelurow_tanh", "tanh")) for back in (False, True)])
def gelu(x, w, b, approximate, back):
    def f(x, w, b):
        return F.gelu(x * w + b, approximate=approximate)
    return gradients_of(f, x, w, b) if back else forward(lambda: f(x, w, b))


@case("softmax_fwd", "softmax_long_row_fwd", "softmax_odd_fwd", "softmax_short_rows_fwd")
def softmax(x):
    return forward(lambda: F.softmax(x, -1))


@case("softmax_fwdbwd", "softmax_long_row_fwdbwd", "softmax_odd_fwdbwd", "softmax_short_rows_fwdbwd")
def softmax_back(x, dy):
    return gradients_given(lambda x: F.softmax(x, -1), dy, x)


def norm(x, w, b):
    return F.layer_norm(x, w.shape, w, b, 1e-5)


@case("layernorm_fwd", "layernorm_odd_fwd")
def layernorm(x, w, b):
    return forward(lambda: norm(x, w, b))


@case("layernorm_fwdbwd", "layernorm_odd_fwdbwd")
def layernorm_back(x, w, b, dy):
    return gradients_given(norm, dy, x, w, b)


def of_one(f, *names):
    CASES.update({name: lambda operands: lambda: f(*operands) for name in names})


of_one(lambda x: x.sum(), "sum_16m")
of_one(lambda x: x.sum(0), "sum_axis0", "sum_axis0_odd")
of_one(lambda x: x.sum(1), "sum_long_row")
of_one(lambda x: x.amax(1), "max_middle")
of_one(lambda x, y: x + y, "add_16m", "add_1000003")
of_one(lambda x, y: x + y.t(), "add_transposed")
of_one(lambda x: x.t().contiguous(), "transpose_copy", "transpose_odd")
of_one(lambda x: x.permute(0, 2, 1, 3).contiguous(), "permute_0213")
of_one(lambda x: x.exp(), "exp_16m")
of_one(lambda x: x.tanh(), "tanh_1000003")
of_one(lambda x: F.relu(x[:, ::2]), "relu_strided")


@case("add_16m_out")
def add_out(x, y):
    out = torch.empty_like(x)
    return lambda: torch.add(x, y, out=out)


# ------------------------------------------------------------------------------------------------ convolutions

for name, options in dict(conv3x3_64_56=dict(padding=1), conv3x3_256_14=dict(padding=1), conv1x1_256_56=dict(),
                          conv_dilated=dict(padding=2, dilation=2), conv_groups=dict(padding=1, groups=4),
                          conv_depthwise=dict(padding=1, groups=96), conv_stride2=dict(padding=1, stride=2),
                          conv_batch1=dict(padding=1), conv_first7x7=dict(padding=3, stride=2)).items():
    @case(name, options=options)
    def conv(x, w, options):
        return forward(lambda: F.conv2d(x, w, **options))

    @case(f"{name}_grads", options=options)
    def conv_back(x, w, dy, options):
        """The two gradients alone: the forward pass is none of the work."""
        o = dict(stride=1, padding=0, dilation=1, groups=1) | options
        pair = lambda n: [n, n]
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, None, pair(o["stride"]), pair(o["padding"]), pair(o["dilation"]), False, [0, 0], o["groups"], [True, True, False])[:2]


# ------------------------------------------------------------------------------------------------ training

def load(parameters, values):
    parameters = list(parameters)
    assert [p.shape for p in parameters] == [v.shape for v in values], "the operands are not these parameters"
    with torch.no_grad():
        for p, v in zip(parameters, values):
            p.copy_(v)
    return parameters


def training(parameters, optimizer, loss_of, clip=None):
    """A step, and what is shown of it: the loss, the parameters after it, the optimizer's first moments."""
    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        return loss

    def shown(loss):
        return [loss, *parameters, *[first_moment(optimizer.state[p]) for p in parameters]]
    return step, shown


def first_moment(state):
    return state["exp_avg"] if "exp_avg" in state else state["momentum_buffer"]


def classifier(model, values, x, y):
    """Cross-entropy, Adam."""
    ps = load(model.parameters(), values)
    return training(ps, torch.optim.Adam(ps, 1e-3), lambda: F.cross_entropy(model(x), y))


def perceptron(values):
    """Dense layers of the values' shapes, relu between them."""
    layers = []
    for w in values[::2]:
        layers += [nn.Linear(w.shape[1], w.shape[0]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@case("mlp_b64", "mlp_b512", "mlp_b1", "mlp_b4096", "mlp_deep", "mlp_b64_facade", "mlp_b512_facade")
def mlp(*operands):
    *values, x, y = operands
    return classifier(perceptron(values), values, x, y)


def cnn_model():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))


@case("cnn_b64")
def cnn(*operands):
    *values, x, y = operands
    return classifier(cnn_model(), values, x, y)


@case("cnn_b64_fwd")
def cnn_forward(*operands):
    *values, x = operands
    model = cnn_model()
    load(model.parameters(), values)
    return forward(lambda: model(x))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.LSTM(64, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, x):
        return self.out(self.layer(x)[0][:, -1])


@case("lstm")
def lstm(wi, bi, wh, bh, wo, bo, x, y):
    return lstm_shown(classifier(Lstm(), [wi, wh, bi, bh, wo, bo], x, y))


def lstm_shown(pair):
    """PyTorch has both weights before both biases."""
    step, shown = pair

    def reordered(loss):
        loss, *rest = shown(loss)
        at = lambda k: [rest[k + i] for i in (0, 2, 1, 3, 4, 5)]
        return [loss, *at(0), *at(6)]
    return step, reordered


@both(("micro_chain_fwd", dict(back=False)), ("micro_chain_fwdbwd", dict(back=True)))
def chain(x, a, b, back):
    if back:
        x.requires_grad_(True)

    def step():
        y = x
        for _ in range(500):
            y = y * a
            y = y + b
        return torch.autograd.grad(y.sum(), x) if back else y
    return step


@case("micrograd_demo")
def micrograd(*operands):
    *values, x, y = operands
    model = perceptron(values)
    ps = load(model.parameters(), values)

    def step():
        loss = F.relu(1 - y * model(x)).mean() + 1e-4 * sum((p * p).sum() for p in ps)
        with torch.no_grad():
            for p, d in zip(ps, torch.autograd.grad(loss, ps)):
                p -= 0.05 * d
        return loss
    return step, lambda loss: [loss, *ps]


# ------------------------------------------------------------------------------------------------ language models

class Gpt:
    """A pre-norm GPT over a list of parameters, in Nanograd's order: embeddings, blocks, last norm; the head is tied."""

    def __init__(self, values, layers, heads, biases, tanh):
        self.ps = [v.clone() for v in values]
        rest = iter(self.ps)
        take = lambda: (next(rest), next(rest) if biases else None)
        self.wte, self.wpe = next(rest), next(rest)
        self.blocks = [dict(ln1=take(), qkv=take(), proj=take(), ln2=take(), fc=take(), out=take()) for _ in range(layers)]
        self.lnf = take()
        self.heads, self.approximate, self.width = heads, "tanh" if tanh else "none", self.wte.shape[1]
        self.masks = {}

    def mask(self, t):
        if t not in self.masks:
            self.masks[t] = torch.triu(torch.ones(t, t, dtype=torch.bool), 1)
        return self.masks[t]

    def norm(self, x, p):
        return F.layer_norm(x, (self.width,), p[0], p[1], 1e-5)

    def mlp(self, x, p):
        return F.linear(F.gelu(F.linear(x, *p["fc"]), approximate=self.approximate), *p["out"])

    def __call__(self, ids):
        """[B,T] to [B,T,V]."""
        rows, t = ids.shape
        heads, width = self.heads, self.width
        x = F.embedding(ids, self.wte) + self.wpe[:t]
        for p in self.blocks:
            q, k, v = F.linear(self.norm(x, p["ln1"]), *p["qkv"]).split(width, 2)
            q, k, v = (s.view(rows, t, heads, width // heads).transpose(1, 2) for s in (q, k, v))
            a = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(width // heads))
            a = F.softmax(a.masked_fill(self.mask(t), float("-inf")), -1)
            x = x + F.linear((a @ v).transpose(1, 2).contiguous().view(rows, t, width), *p["proj"])
            x = x + self.mlp(self.norm(x, p["ln2"]), p)
        return F.linear(self.norm(x, self.lnf), self.wte)

    def loss(self, ids, targets):
        logits = self(ids)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


@both(("gpt_char_small", dict(layers=4, heads=4)), ("gpt_char_full", dict(layers=6, heads=6)),
      ("gpt_char_1head", dict(layers=3, heads=1)), ("gpt_char_16heads", dict(layers=3, heads=16)))
def gpt_char(*operands, layers, heads):
    *values, x, y = operands
    m = Gpt(values, layers, heads, biases=False, tanh=False)
    for p in m.ps:
        p.requires_grad_(True)
    groups = [dict(params=[p for p in m.ps if p.dim() == 2], weight_decay=0.1), dict(params=[p for p in m.ps if p.dim() < 2], weight_decay=0.0)]
    return training(m.ps, torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99)), lambda: m.loss(x, y), clip=1.0)


@case("gpt2_train_b4t64")
def gpt2_train(*operands):
    *values, x, y = operands
    m = Gpt(values, 12, 12, biases=True, tanh=True)
    for p in m.ps:
        p.requires_grad_(True)
    return training(m.ps, torch.optim.AdamW(m.ps, lr=1e-4, weight_decay=0.0), lambda: m.loss(x, y))


@case("gpt2_prefill256")
def gpt2_prefill(*operands):
    *values, ids = operands
    m = Gpt(values, 12, 12, biases=True, tanh=True)
    return forward(lambda: m(ids))


@case("gen_gpt2")
def gpt2_decode(*operands):
    """16 tokens are in the caches, which have room for 1024; then 32 greedy tokens, one at a time."""
    *values, ids = operands
    m = Gpt(values, 12, 12, biases=True, tanh=True)
    heads, width, each = m.heads, m.width, m.width // m.heads
    keys, kept = (torch.zeros(12, heads, 1024, each) for _ in range(2))

    def one(token, place):
        x = m.wte[token] + m.wpe[place:place + 1]
        for i, p in enumerate(m.blocks):
            q, k, v = F.linear(m.norm(x, p["ln1"]), *p["qkv"]).view(1, 3, heads, each).permute(1, 2, 0, 3)
            keys[i, :, place:place + 1], kept[i, :, place:place + 1] = k, v
            a = F.softmax((q @ keys[i, :, :place + 1].transpose(1, 2)) * (1 / math.sqrt(each)), -1)
            x = x + F.linear((a @ kept[i, :, :place + 1]).transpose(0, 1).reshape(1, width), *p["proj"])
            x = x + m.mlp(m.norm(x, p["ln2"]), p)
        return F.linear(m.norm(x[-1], m.lnf), m.wte)

    with torch.no_grad():
        for place in range(16):
            one(ids[place:place + 1], place)

    def step():
        token = ids[:1]
        for i in range(32):
            logits = one(token, 16 + i)
            token = logits.argmax().view(1)
        return logits
    return forward(step)


# ------------------------------------------------------------------------------------------------ ResNet-18

def resnet(operands):
    """torchvision's, its parameters, its running statistics, and the other operands."""
    import torchvision
    model = torchvision.models.resnet18()
    ps, running = list(model.parameters()), [b for b in model.buffers() if b.is_floating_point()]
    load(ps, operands[:len(ps)])
    load(running, operands[len(ps):len(ps) + len(running)])
    return model, ps, running, operands[len(ps) + len(running):]


@both(("resnet18_fwd", dict(nhwc=False)), ("resnet18_fwd_nhwc", dict(nhwc=True)))
def resnet_forward(*operands, nhwc):
    model, _, _, (x,) = resnet(operands)
    model.eval()
    if nhwc:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    return forward(lambda: model(x))


@case("resnet18_train")
def resnet_train(*operands):
    """The loss and the running statistics of the step that is timed; all else in double precision, as Resnet.fs explains."""
    def prepared(*operands):
        model, ps, running, (x, y) = resnet(operands)
        model.to(x.dtype).train()
        ps = list(model.parameters())
        return *training(ps, torch.optim.SGD(ps, 0.1, 0.9), lambda: F.cross_entropy(model(x), y)), running
    step, _, running = prepared(*operands)
    in_double = [o.double() if o.is_floating_point() else o for o in operands]

    def exactly():
        step, shown, _ = prepared(*in_double)
        return shown(step())
    return step, lambda loss: [loss, *running, *exactly()]


# ------------------------------------------------------------------------------------------------ files and the clock

TYPES = dict(f32=np.float32, i64=np.int64, i32=np.int32)


def read_operands(folder):
    """Each in memory of PyTorch's own."""
    operands = []
    with open(os.path.join(folder, "operands.json")) as text, open(os.path.join(folder, "operands.bin"), "rb") as data:
        for entry in json.load(text):
            dtype, shape = TYPES[entry["dtype"]], entry["shape"]
            count = math.prod(shape)
            operands.append(torch.from_numpy(np.fromfile(data, dtype, count).reshape(shape)).clone())
    return operands


def write_results(folder, results):
    entries = []
    with open(os.path.join(folder, "peer.bin"), "wb") as data:
        for t in results:
            a = np.ascontiguousarray(t.detach().float().numpy())
            entries.append(dict(dtype="f32", shape=list(t.shape)))
            a.tofile(data)
    with open(os.path.join(folder, "peer.json"), "w") as text:
        json.dump(entries, text)


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def measure(step, budget):
    """As Clock.fs does: at least 5 runs and a second to warm up, then at least 5 and the budget."""
    start, warm = time.perf_counter(), 0
    while warm < 5 or time.perf_counter() - start < 1.0:
        step()
        warm += 1
    times, start = [], time.perf_counter()
    while len(times) < 5 or (len(times) < 5000 and time.perf_counter() - start < budget):
        times.append(seconds(step))
    return times


def peak_bytes():
    """The most memory that this process had. (getrusage also counts what the process that started it had.)"""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("case")
    arguments.add_argument("folder")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--budget", type=float, default=1.0)
    arguments.add_argument("--results", action="store_true")
    a = arguments.parse_args()
    torch.set_num_threads(a.threads)
    made = CASES[a.case](read_operands(a.folder))
    step, shown = made if isinstance(made, tuple) else (made, lambda r: r if isinstance(r, (tuple, list)) else [r])
    if a.results:
        write_results(a.folder, shown(step()))
    times = measure(step, a.budget)
    print(json.dumps(dict(ms=statistics.median(times) * 1e3, min=min(times) * 1e3, repeats=len(times), threads=torch.get_num_threads(),
                          peak_bytes=peak_bytes(), version=torch.__version__)))


if __name__ == "__main__":
    main()
