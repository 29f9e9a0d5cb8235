"""Adapters as PEFT saves them, for the network of ../torch_optimizer/mlp_adamw.pt and for small ones, with the weights that PEFT's own merge gives; and what PEFT's pattern keys match.
Needs torch, peft, safetensors. Run it in this folder's parent of golden files: python make.py"""
import copy
import json
import pathlib
import random
import re
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
torch.manual_seed(3)


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(784, 4), torch.nn.Linear(4, 10)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class Conv(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.table, self.head = torch.nn.Conv2d(3, 4, (3, 2)), torch.nn.Embedding(5, 6), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))


def save(name, net, config, keep_base=False):
    if keep_base:
        save_file(net.state_dict(), here / f"{name}_base.safetensors", {"format": "pt"})
    base = copy.deepcopy(net)
    adapted = get_peft_model(net, config)
    for key, p in adapted.named_parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1)
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    with torch.random.fork_rng():  # as the folder is loaded: it has pattern keys in another order than they were given
        adapted = PeftModel.from_pretrained(base, folder)
    save_file({k: v.contiguous().clone() for k, v in adapted.merge_and_unload().state_dict().items()}, here / f"{name}_merged.safetensors", {"format": "pt"})


net = Mlp()
net.load_state_dict(torch.load(here / "../torch_optimizer/mlp_adamw.pt")["model_state_dict"])
save("mlp", net, LoraConfig(r=2, lora_alpha=6, target_modules=["fc1"], modules_to_save=["fc2"]))
save("conv", Conv(), LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["conv", "table", "head"], alpha_pattern={"head": 3}, rank_pattern={"head": 1}), keep_base=True)


class Deep(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList(torch.nn.ModuleDict({"q": torch.nn.Linear(4, 3), "k": torch.nn.Linear(4, 3)}) for _ in range(4))
        self.head = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.head(sum(b["q"](x) + b["k"](x) for b in self.blocks))


# DoRA on all three kinds of layers, with factors large enough that the rows' lengths matter.
save("dora", Conv(), LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["conv", "table", "head"], alpha_pattern={"he.d": 5}), keep_base=True)
# Expressions where names usually stand; the first key that matches counts.
save("deep", Deep(), LoraConfig(r=2, lora_alpha=4, target_modules=r"blocks\.\d+\.(q|k)|head", rank_pattern={r"blocks\.[01]\.k": 1, r"^head$": 3},
                                alpha_pattern={r"0\.q": 1, r"blocks\.(0|2)\..*": 2, r".+[^q]": 3, r"q": 5}), keep_base=True)

# Random expressions of the subset against paths, as PEFT asks (the key for a path's end, the whole path for target_modules).
rng = random.Random(7)
names = ["q", "fc1", "model.q", "layers.0.q", "layers.10.q_proj", "model.layers.1.attn.q_proj", "a.b", "axb", "", ".", "..a", "model.layers.22.mlp.k-1", "layers.0.q\n", "bl\u00f6cke.3.q"]


def expression(depth=0):
    def atom():
        kind = rng.randrange(12)
        if kind < 5:
            return rng.choice(["q", "a", "layers", "_proj", "fc", "1", "0", "b", "\u00f6"])
        if kind < 7:
            return rng.choice([".", ".*", "\\.", ".+", ".*?"])
        if kind < 9:
            return rng.choice([r"\d", "[0-9]", r"[^.]", r"\w", "[a-l_]", r"[\d.]", "[x-]", r"\-", r"[^\w]"])
        if kind == 9:
            return rng.choice(["^", "$"])
        return rng.choice(["(", "(?:"]) + expression(depth + 1) + ")" if depth < 3 else "q"

    def piece():
        a = atom()
        return a + rng.choice(["", "", "", "*", "+", "?", "*?"]) if a not in ("^", "$") else a

    return "|".join("".join(piece() for _ in range(rng.randrange(1, 5))) for _ in range(rng.choice([1, 1, 1, 2, 3])))


cases = []
for e in [r"layers\.\d+\.q", "model.*", ".*attn.*(q|k)_proj", "q", "a.b", "^q", "fc1$", "", "(", "a**", "*a", "[", "[]a]", "[b-a]", "a|", "(|a)b?", "x{1,2}", "[\\d-x]"] + [expression() for _ in range(400)]:
    try:
        re.compile(rf"(.*\.)?({e})$"), re.compile(e)
    except re.error:
        cases.append([e, None, None])
        continue
    # a path that is its own key cannot be told from no match, so the key is asked as PEFT writes the question
    tail = "".join("01"[bool(re.match(rf"(.*\.)?({e})$", n))] for n in names)
    assert all(get_pattern_key([e], n) == (e if t == "1" else n) for n, t in zip(names, tail)), e
    cases.append([e, tail, "".join("01"[bool(re.fullmatch(e, n))] for n in names)])
(here / "patterns.json").write_text(json.dumps({"names": names, "cases": cases}, separators=(",", ":")).replace("],[", "],\n[") + "\n")
