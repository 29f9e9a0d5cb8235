"""A small network of two linear layers after three updates of AdamW, as a training script saves it: weights and optimizer in one file. Needs torch."""
import pathlib
import torch

torch.manual_seed(0)


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(784, 4), torch.nn.Linear(4, 10)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


net = Mlp()
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
for _ in range(3):
    loss = torch.nn.functional.cross_entropy(net(torch.randn(16, 1, 28, 28)), torch.randint(0, 10, (16,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
here = pathlib.Path(__file__).parent
torch.save({"epoch": 3, "model_state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, here / "mlp_adamw.pt")
