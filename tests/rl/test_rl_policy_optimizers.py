"""The base's optimizer: what orthogonalising does to a matrix, and that it is torch's rule in another precision."""

import pytest

from kindling.rl.policy.optimizers import muon, orthogonalised

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]


@pytest.fixture
def torch():
    import torch

    torch.manual_seed(0)
    return torch


def tiny(torch):
    """An embedding, a tall, a wide and a square matrix, and a norm."""

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(11, 16)
            sizes = ((16, 48), (48, 16), (16, 16))
            self.layers = torch.nn.Sequential(*(torch.nn.Linear(*size, bias=False) for size in sizes))
            self.norm = torch.nn.LayerNorm(16)

        def get_input_embeddings(self):
            return self.embedding

        def forward(self, ids):
            return self.norm(self.layers(self.embedding(ids)))

    return Tiny()


@pytest.mark.parametrize("shape", [(64, 64), (16, 64), (64, 16)])
def test_singular_values_come_near_one_and_directions_stay(torch, shape):
    matrix = 1e3 * torch.randn(shape)
    found = orthogonalised(matrix)
    assert found.shape == matrix.shape
    assert found.dtype == matrix.dtype
    values = torch.linalg.svdvals(found)
    # the smallest of a square matrix are small indeed, and five iterations leave those behind
    assert values.max() < 1.3
    assert values[: len(values) // 2].min() > 0.6
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ found @ right.T  # diagonal, if the singular vectors are those of `matrix`
    assert (turned - torch.diag(turned.diag())).abs().max() < 1e-2


def test_a_matrix_of_zeros_moves_nothing(torch):
    assert torch.equal(orthogonalised(torch.zeros(8, 4)), torch.zeros(8, 4))


def test_steps_are_those_of_torch_within_bfloat16(torch):
    models = [tiny(torch), tiny(torch)]
    models[1].load_state_dict(models[0].state_dict())
    inner = [one.weight for one in models[1].layers]
    theirs = torch.optim.Muon(inner, lr=0.02, weight_decay=0.0, momentum=0.95)
    rest = [*models[1].embedding.parameters(), *models[1].norm.parameters()]
    others = torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    ours = muon(models[0], 0.02, 0.01)
    before = [one.clone() for one in models[0].parameters()]
    for _ in range(3):
        # slopes of full rank: bfloat16's rounding is all that stands in the directions that a slope has not
        for mine, torchs in zip(models[0].parameters(), models[1].parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            torchs.grad = mine.grad.clone()
        ours.step()
        theirs.step()
        others.step()
    for place, (mine, torchs) in enumerate(zip(models[0].parameters(), models[1].parameters(), strict=True)):
        moved = (torchs - before[place]).norm()
        assert moved > 0
        assert (mine - torchs).norm() < 0.05 * moved


def test_what_it_has_learned_of_the_slopes_survives_a_stop(torch):
    states = []
    for stopped in (False, True):
        torch.manual_seed(1)
        model = tiny(torch)
        optimizer = muon(model, 0.02, 0.01)
        for step in range(4):
            if stopped and step == 2:
                state = optimizer.state_dict()
                optimizer = muon(model, 0.02, 0.01)
                optimizer.load_state_dict(state)
            model.zero_grad()
            model(torch.tensor([step, 3])).sin().sum().backward()
            optimizer.step()
        states.append([one.clone() for one in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
