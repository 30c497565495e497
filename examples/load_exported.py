"""Runs a network that `coldframe export` wrote, with PyTorch and safetensors alone: load_exported.py FOLDER"""

import json
import runpy
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

folder = Path(sys.argv[1])
network = runpy.run_path(str(folder / "network.py"))["build"]()
network.load_state_dict(load_file(folder / "weights.safetensors"))
network.eval()
how = json.loads((folder / "card.json").read_text())["preprocessing"]
pixels = torch.randint(256, (4, how["channels"], how["resolution"], how["resolution"]))
mean, std = (torch.tensor(how[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
with torch.no_grad():
    print(network((pixels / 255 - mean) / std).softmax(dim=1))
