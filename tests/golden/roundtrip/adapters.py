"""Adapters and weights that graft writes, in PEFT and transformers, and PEFT's in graft: python adapters.py GRAFT FOLDER. FOLDER has what graft made: base.safetensors (the network of the recipe
digits-cnn), adapter (of a run on it), merged.safetensors (that run's weights) and outputs.safetensors (x, and logits, which graft's run gives for it). Prints a line for each part as containers.py
does. Parts: peft-out, peft-in, transformers."""
import importlib
import pathlib
import subprocess
import sys
import traceback
import warnings

graft, here = sys.argv[1], pathlib.Path(sys.argv[2])


def call(*arguments):
    done = subprocess.run([graft, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"graft {' '.join(map(str, arguments))}: {done.stderr}"


def part(name, *packages):
    """Runs a part where its packages are there."""
    def of(function):
        try:
            modules = [importlib.import_module(p) for p in packages]
        except ImportError as e:
            print(name, "skipped: no", e.name)
            return
        folder = here / name
        folder.mkdir()
        try:
            print(name, "ok:", function(folder, *modules))
        except Exception:
            print(name, "differs:", " | ".join(traceback.format_exc().strip().splitlines()[-4:]))
    return of


def network(torch, weights):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = torch.nn.Conv2d(1, 32, 3), torch.nn.Conv2d(32, 64, 3)
            self.fc1, self.fc2 = torch.nn.Linear(9216, 128), torch.nn.Linear(128, 10)

        def forward(self, x):
            x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
            return self.fc2(torch.relu(self.fc1(torch.max_pool2d(x, 2).flatten(1))))

    net = Net()
    net.load_state_dict(weights)
    return net.eval()


def most(a, b):
    return float((a - b).abs().max())


@part("peft-out", "torch", "safetensors.torch", "peft")
def _(folder, torch, st, peft):
    base, merged, outputs = (st.load_file(here / f"{n}.safetensors") for n in ("base", "merged", "outputs"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a key that PEFT misses or has no place for is a warning
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model = peft.PeftModel.from_pretrained(network(torch, base), here / "adapter").eval()
    with torch.no_grad():
        worst, moved = most(model(outputs["x"]), outputs["logits"]), most(network(torch, base)(outputs["x"]), outputs["logits"])
    weights = model.merge_and_unload().state_dict()
    apart = max(most(weights[k], v) for k, v in merged.items())
    assert moved > 1e-2, f"the adapter does next to nothing: {moved}"
    assert worst <= 1e-5 and apart <= 1e-6, f"logits {worst}, weights {apart}"
    return f"logits differ by {worst:.3g} (the adapter moves them by {moved:.3g}), merged weights by {apart:.3g}"


@part("peft-in", "torch", "safetensors.torch", "peft")
def _(folder, torch, st, peft):
    base, x = st.load_file(here / "base.safetensors"), st.load_file(here / "outputs.safetensors")["x"]
    layers = ["fc1", "conv2"]
    cases = {
        "plain": dict(target_modules=layers), "stabilised": dict(target_modules=layers, use_rslora=True), "all-linear": dict(target_modules="all-linear"),
        "expression": dict(target_modules=r".*(fc|conv)\d"), "whole": dict(target_modules=["fc1"], modules_to_save=["fc2"]), "bias": dict(target_modules=layers, bias="lora_only"),
        "names": dict(target_modules=layers, rank_pattern={"fc1": 2}, alpha_pattern={"conv2": 3}),
        "patterns": dict(target_modules=["fc1", "fc2", "conv2"], rank_pattern={"fc[0-9]": 3}, alpha_pattern={"^conv.*": 3, r"fc\d": 5}),
        "dora": dict(target_modules=["fc1", "conv2"], use_dora=True), "dora-patterns": dict(target_modules=".*[12]", use_dora=True, use_rslora=True, alpha_pattern={"(fc1|conv.)": 12}),
    }
    worst, where = 0, ""
    for name, settings in cases.items():
        torch.manual_seed(1)
        made = peft.get_peft_model(network(torch, base), peft.LoraConfig(r=4, lora_alpha=8, **settings))
        with torch.no_grad():
            for p in made.parameters():
                if p.requires_grad:
                    p.add_(torch.randn_like(p) * 0.01)
        made.save_pretrained(folder / name)
        theirs = peft.PeftModel.from_pretrained(network(torch, base), folder / name).eval()
        call("import", here / "base.safetensors", "--adapter", folder / name, "--out", folder / (name + ".out"))
        ours = network(torch, st.load_file(next((folder / (name + ".out")).rglob("*.safetensors"))))
        with torch.no_grad():
            wanted = theirs(x)
            apart, moved = most(ours(x), wanted), most(network(torch, base)(x), wanted)
        merged = theirs.merge_and_unload().state_dict()
        weights = max(most(v, merged[k]) for k, v in ours.state_dict().items())
        assert moved > 1e-2, f"{name}: the adapter does next to nothing: {moved}"
        assert apart <= 1e-5 and weights <= 1e-6, f"{name}: logits {apart}, weights {weights}"
        if apart >= worst:
            worst, where = apart, name
    return f"{len(cases)} adapters; logits differ by at most {worst:.3g} ({where})"


@part("transformers", "torch", "safetensors.torch", "transformers")
def _(folder, torch, st, transformers):
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    torch.manual_seed(2)
    model = transformers.BertModel(config).eval()
    # In one file, in shards, and from a file without metadata, which stays without: loaders want "format" to be "pt" where there is metadata.
    torch.save(model.state_dict(), folder / "in.pt")
    st.save_file(model.state_dict(), folder / "bare.safetensors")
    ids, count = torch.arange(12).reshape(2, 6), 0
    for source in ("in.pt", "bare.safetensors"):
        for size in (None, "8KB"):
            to = folder / f"{source}{size}"
            to.mkdir()
            config.save_pretrained(to)
            call("convert", folder / source, to / "model.safetensors", *(["--shard-size", size] if size else []))
            assert (len(list(to.glob("*.safetensors"))) > 1) == bool(size), "shards"
            got, said = transformers.BertModel.from_pretrained(to, output_loading_info=True)
            assert not any(said[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), said
            for name, t in model.state_dict().items():
                assert torch.equal(got.state_dict()[name], t), name
            with torch.no_grad():
                assert torch.equal(got.eval()(ids).last_hidden_state, model(ids).last_hidden_state), "outputs"
            count += 1
    return f"{count} folders load with nothing missing or left, and give the same outputs"
