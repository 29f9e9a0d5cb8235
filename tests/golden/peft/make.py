"""Adapters as PEFT saves them, for the network of ../torch_optimizer/mlp_adamw.pt and for a small one with a convolution, with the weights that PEFT's own merge gives.
Needs torch, peft, safetensors. Run it in this folder's parent of golden files: python make.py"""
import pathlib
import shutil

import torch
from peft import LoraConfig, get_peft_model
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
    adapted = get_peft_model(net, config)
    for key, p in adapted.named_parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1)
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    save_file({k: v.contiguous().clone() for k, v in adapted.merge_and_unload().state_dict().items()}, here / f"{name}_merged.safetensors", {"format": "pt"})


net = Mlp()
net.load_state_dict(torch.load(here / "../torch_optimizer/mlp_adamw.pt")["model_state_dict"])
save("mlp", net, LoraConfig(r=2, lora_alpha=6, target_modules=["fc1"], modules_to_save=["fc2"]))
save("conv", Conv(), LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["conv", "table", "head"], alpha_pattern={"head": 3}, rank_pattern={"head": 1}), keep_base=True)
