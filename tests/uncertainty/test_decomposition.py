"""The decomposition: its laws, its limits, its accuracy."""

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes.uncertainty.decomposition import Decomposition, decompose, decompose_latent
from eels_bayes.uncertainty.packed_gp import GPConstants
from eels_bayes.uncertainty.quadrature import default_nodes, mirrored_nodes, normal_nodes

D64 = torch.float64


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=D64)


def random_case(seed, n=3, n_components=3, n_classes=4, *, mean=2.0, encoder=0.5, classifier=1.0):
    """Return weights, mean, cov_encoder and var_classifier of random logits."""
    g = torch.Generator().manual_seed(seed)
    weights = torch.softmax(normal(g, n, n_components), 1)
    centre = mean * normal(g, n, n_components, n_classes)
    root = encoder * normal(g, n, n_components, n_classes, n_classes)
    variance = classifier * normal(g, n, n_components, n_classes).square()
    return weights, centre, root @ root.mT, variance


def random_constants(seed, n_inducing=20, dim=5, n_classes=4):
    """Return GP constants whose B explains at most the prior variance."""
    g = torch.Generator().manual_seed(seed)
    inducing, lengthscale = normal(g, n_inducing, dim), torch.full((dim,), 2.0, dtype=D64)
    scale = torch.tensor(4.0, dtype=D64)
    kernel = scale * torch.exp(-0.5 * torch.cdist(inducing / 2, inducing / 2).square())
    inverse = torch.linalg.inv(kernel + 0.01 * torch.eye(n_inducing, dtype=D64))
    A = inverse @ (2.0 * normal(g, n_inducing, n_classes))
    B = 0.95 * inverse.expand(n_classes, -1, -1)
    return GPConstants(inducing, lengthscale, scale, torch.zeros(n_classes, dtype=D64), A, B)


def assert_lawful(result: Decomposition, n_classes: int, tolerance: float) -> None:
    for term in result[1:]:
        assert (term >= 0).all()
    parts = result.aleatoric + result.encoder + result.classifier
    torch.testing.assert_close(parts, result.total, rtol=0, atol=tolerance)
    p = result.probabilities
    torch.testing.assert_close(p.sum(1), torch.ones_like(p[:, 0]), rtol=0, atol=tolerance)
    torch.testing.assert_close(-torch.xlogy(p, p).sum(1), result.total, rtol=0, atol=tolerance * 10)
    assert (result.total <= math.log(n_classes) + tolerance).all()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    n_components=st.integers(1, 5),
    n_classes=st.integers(2, 7),
    mean=st.floats(0.0, 200.0),
    encoder=st.floats(0.0, 20.0),
    classifier=st.floats(0.0, 400.0),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_terms_are_not_negative_and_sum_to_the_total(
    seed, n_components, n_classes, mean, encoder, classifier, dtype
):
    case = random_case(
        seed, 4, n_components, n_classes, mean=mean, encoder=encoder, classifier=classifier
    )
    nodes = default_nodes(n_classes)
    result = decompose(*(part.to(dtype) for part in (*case, *nodes)))
    assert_lawful(result, n_classes, 1e-6 if dtype == torch.float64 else 2e-5)


def brute_force(weights, mean, cov, var, encoder_nodes, classifier_nodes, ratio=None):
    """Return the decomposition by the definition, class probabilities at every pair of nodes."""
    contrast = torch.eye(mean.size(2), dtype=D64)[:-1]
    contrast[:, -1] = -1.0

    def draws(covariance, nodes):
        root = torch.linalg.cholesky(contrast @ covariance @ contrast.T)
        offsets = nodes @ root.mT
        return torch.cat((offsets, torch.zeros_like(offsets[..., :1])), -1)

    def entropy(p):
        return -torch.xlogy(p, p).sum(-1)

    outer, inner = draws(cov, encoder_nodes), draws(torch.diag_embed(var), classifier_nodes)
    f = mean[:, :, None, None] + outer.unsqueeze(3) + inner.unsqueeze(2)
    p = torch.softmax(f, -1)
    # the joint of component, nodes and class, with the classes' new prior weights
    joint = weights[:, :, None, None, None] * p
    joint = joint if ratio is None else joint * ratio[:, None, None, None]
    joint = joint / joint.sum((1, 2, 3, 4), keepdim=True)
    marginal = joint.sum((1, 2, 3))

    def conditional(part):
        weight = part.sum(-1)
        return (weight * entropy(part / weight[..., None])).flatten(1).sum(1)

    given_z, given_zf = conditional(joint.sum(3)), conditional(joint)
    total = entropy(marginal)
    return Decomposition(
        marginal,
        total,
        given_zf,
        total - given_z,
        given_z - given_zf,
        joint.sum((2, 3, 4)),
    )


@pytest.mark.parametrize("n_classes", [2, 3, 4, 6])
def test_factorised_sums_equal_the_definition(n_classes):
    case = random_case(n_classes, 5, 3, n_classes)
    nodes = normal_nodes(24, n_classes - 1, 3), normal_nodes(17, n_classes - 1, 4)
    for found, expected in zip(decompose(*case, *nodes), brute_force(*case, *nodes), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_new_class_weights_equal_the_definition(n_classes):
    case = random_case(n_classes, 5, 3, n_classes)
    nodes = normal_nodes(24, n_classes - 1, 3), normal_nodes(17, n_classes - 1, 4)
    g = torch.Generator().manual_seed(1)
    ratio = torch.rand(5, n_classes, generator=g, dtype=D64) * 3 + 0.05
    found = decompose(*case, *nodes, ratio)
    for one, expected in zip(found, brute_force(*case, *nodes, ratio), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-7, atol=1e-9)
    # equal ratios change nothing, and a class without weight has no probability
    same = decompose(*case, *nodes, torch.full_like(ratio, 0.7))
    for one, expected in zip(same, decompose(*case, *nodes), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-12)
    ratio[:, 0] = 1e-12
    assert decompose(*case, *nodes, ratio).probabilities[:, 0].max() < 1e-9


def plain_draws(weights, mean, cov, var, seed, n_draws=100_000):
    """Return probabilities of one spectrum from plain draws, with their standard errors."""
    g = torch.Generator().manual_seed(seed)
    component = torch.multinomial(weights, n_draws, replacement=True, generator=g)
    values, vectors = torch.linalg.eigh(cov + torch.diag_embed(var))
    root = vectors * values.clamp(min=0).sqrt().unsqueeze(1)
    noise = normal(g, n_draws, mean.size(1), 1)
    p = torch.softmax(mean[component] + (root[component] @ noise)[:, :, 0], 1)
    return p.mean(0), p.std(0) / math.sqrt(n_draws)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_default_nodes_match_plain_draws(seed, n_classes):
    # the spreads of a trained classifier: up to a logit or so
    case = random_case(seed, 4, 3, n_classes, encoder=0.4, classifier=0.7)
    result = decompose(*case, *default_nodes(n_classes))
    for i in range(4):
        reference, error = plain_draws(*(part[i] for part in case), seed=100 + seed)
        deviation = (result.probabilities[i] - reference).abs()
        assert (deviation <= 0.005 + 4 * error).all(), deviation


def test_terms_converge_with_the_nodes():
    case = random_case(1, 20, 3, 4)
    reference = decompose(*case, normal_nodes(1024, 3, 5), normal_nodes(1024, 3, 6))
    result = decompose(*case, *default_nodes(4))
    for found, expected in zip(result[1:], reference[1:], strict=True):
        assert (found - expected).abs().max() < 0.03


def test_encoder_vanishes_without_spread_and_with_one_component():
    weights, mean, cov, var = random_case(2, 6, 1)
    result = decompose(weights, mean, 0 * cov, var, *default_nodes(4))
    assert result.encoder.max() < 1e-12
    terms = [
        decompose(weights, mean, s * cov, var, *default_nodes(4)).encoder
        for s in (1e-2, 1e-4, 1e-6)
    ]
    assert (terms[0] > terms[1]).all() and (terms[1] > terms[2]).all()
    assert terms[2].max() < 1e-4
    # several components in different places are encoder uncertainty by themselves
    weights, mean, cov, var = random_case(2, 6, 3)
    assert decompose(weights, mean, 0 * cov, var, *default_nodes(4)).encoder.min() > 1e-3


def test_classifier_vanishes_with_its_variance():
    weights, mean, cov, var = random_case(3, 6)
    assert decompose(weights, mean, cov, 0 * var, *default_nodes(4)).classifier.max() < 1e-12
    terms = [
        decompose(weights, mean, cov, s * var, *default_nodes(4)).classifier
        for s in (1e-1, 1e-3, 1e-5)
    ]
    assert (terms[0] > terms[1]).all() and (terms[1] > terms[2]).all()
    assert terms[2].max() < 1e-4


def test_aleatoric_vanishes_for_extreme_logits():
    weights, mean, cov, var = random_case(4, 6)
    for dtype, floor in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        args = [part.to(dtype) for part in (weights, 1e4 * mean, cov, var, *default_nodes(4))]
        assert decompose(*args).aleatoric.max() < floor


def test_equal_sure_components_leave_only_encoder_doubt():
    mean = 100.0 * torch.eye(3, dtype=D64).unsqueeze(0)
    zero = torch.zeros(1, 3, 3, dtype=D64)
    weights = torch.tensor([[0.5, 0.3, 0.2]], dtype=D64)
    cov = torch.zeros(1, 3, 3, 3, dtype=D64)
    result = decompose(weights, mean, cov, zero, *default_nodes(3))
    torch.testing.assert_close(result.probabilities, weights)
    entropy = -(weights * weights.log()).sum(1)
    torch.testing.assert_close(result.encoder, entropy)
    assert result.aleatoric.item() < 1e-12 and result.classifier.item() < 1e-12


def test_plain_softmax_without_any_spread():
    mean = torch.tensor([[[0.3, -1.0, 2.0]]], dtype=D64)
    zero = torch.zeros(1, 1, 3, dtype=D64)
    one = torch.ones(1, 1, dtype=D64)
    result = decompose(one, mean, torch.diag_embed(zero), zero, *default_nodes(3))
    expected = torch.softmax(mean[0], 1)
    torch.testing.assert_close(result.probabilities, expected)
    torch.testing.assert_close(result.aleatoric, -(expected * expected.log()).sum(1))


def test_far_from_all_inducing_points_nothing_is_known():
    constants = random_constants(5)
    far = torch.full((1, 2, 5), 500.0, dtype=D64)
    weights = torch.tensor([[0.4, 0.6]], dtype=D64)
    result = decompose_latent(weights, far, 0.1 + 0 * far, constants, *default_nodes(4))
    assert abs(result.total.item() - math.log(4)) < 1e-3
    assert result.encoder.item() < 1e-9
    assert result.classifier.item() > 0.3


def test_order_of_classes_does_not_matter():
    case = random_case(6, 10, 2, 4)
    nodes = normal_nodes(512, 3, 0), normal_nodes(512, 3, 1)
    reference = decompose(*case, *nodes)
    for order in ([3, 2, 1, 0], [1, 2, 3, 0], [0, 3, 1, 2]):
        weights, mean, cov, var = case
        permuted = decompose(
            weights, mean[..., order], cov[..., order, :][..., order], var[..., order], *nodes
        )
        torch.testing.assert_close(
            permuted.probabilities, reference.probabilities[:, order], rtol=0, atol=0.01
        )
        for found, expected in zip(permuted[1:], reference[1:], strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_order_and_splitting_of_components_do_not_matter():
    weights, mean, cov, var = random_case(7)
    nodes = default_nodes(4)
    reference = decompose(weights, mean, cov, var, *nodes)
    order = [2, 0, 1]
    permuted = decompose(weights[:, order], mean[:, order], cov[:, order], var[:, order], *nodes)
    halves = decompose(
        *(torch.cat((part, part), 1) for part in (weights / 2, mean, cov, var)), *nodes
    )
    assert torch.equal(permuted.weights, weights[:, order])
    for a, b, c in zip(reference[:-1], permuted[:-1], halves[:-1], strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)


def test_common_shift_of_the_logits_does_not_matter():
    weights, mean, cov, var = random_case(8)
    nodes = default_nodes(4)
    reference = decompose(weights, mean, cov, var, *nodes)
    shifted = decompose(weights, mean + 50.0, cov + 9.0, var, *nodes)
    for a, b in zip(reference, shifted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_singular_and_slightly_indefinite_covariances():
    weights, mean, cov, var = random_case(9)
    direction = torch.tensor([1.0, -0.5, 0.2, 0.1], dtype=D64)
    singular = direction.outer(direction).expand_as(cov)
    nodes = default_nodes(4)
    reference = decompose(weights, mean, singular, var, *nodes)
    disturbed = singular - 1e-7 * torch.eye(4, dtype=D64)
    for a, b in zip(reference, decompose(weights, mean, disturbed, var, *nodes), strict=True):
        assert torch.isfinite(b).all()
        torch.testing.assert_close(a, b, rtol=0, atol=2e-3)


@pytest.mark.parametrize("n_classes", [2, 4, 7])
def test_float32_agrees_with_float64(n_classes):
    case = (*random_case(10, 20, 4, n_classes), *default_nodes(n_classes))
    single = decompose(*(part.float() for part in case))
    for a, b in zip(single, decompose(*case), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-5)


def test_nan_row_stays_alone():
    weights, mean, cov, var = random_case(11, 4)
    nodes = default_nodes(4)
    reference = decompose(weights, mean, cov, var, *nodes)
    mean[2, 1, 0] = math.nan
    others = [0, 1, 3]
    result = decompose(weights, mean, cov, var, *nodes)
    for found, expected in zip(result[:-1], reference[:-1], strict=True):
        assert torch.isnan(found[2]).all()
        torch.testing.assert_close(found[others], expected[others])


def latent_case(n, seed=12):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.softmax(normal(g, n, 3), 1),
        normal(g, n, 3, 5),
        0.3 * normal(g, n, 3, 5).square(),
    )


def test_latent_mixture_is_moments_then_decomposition():
    constants, nodes = random_constants(12), default_nodes(4)
    case = latent_case(11)
    whole = decompose_latent(*case, constants, *nodes)
    assert_lawful(whole, 4, 1e-6)
    chunks = decompose_latent(*case, constants, *nodes, chunk_size=4)
    alone = [
        decompose_latent(*(part[i : i + 1] for part in case), constants, *nodes) for i in range(11)
    ]
    for field, a, b in zip(Decomposition._fields, whole, chunks, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        single = torch.cat([getattr(one, field) for one in alone])
        torch.testing.assert_close(a, single, rtol=1e-10, atol=1e-12)


def test_empty_input_gives_empty_output():
    result = decompose_latent(*latent_case(0), random_constants(12), *default_nodes(4))
    assert result.probabilities.shape == (0, 4) and result.total.shape == (0,)


def test_script_equals_eager():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated")
        functions = torch.jit.script(decompose), torch.jit.script(decompose_latent)
    for dtype in (torch.float32, D64):
        case = [part.to(dtype) for part in (*random_case(13), *default_nodes(4))]
        constants = GPConstants(*(part.to(dtype) for part in random_constants(13)))
        latent = [part.to(dtype) for part in latent_case(7)]
        for _ in range(3):  # the executor specialises after its first calls
            found = functions[0](*case), functions[1](*latent, constants, *case[4:])
            expected = decompose(*case), decompose_latent(*latent, constants, *case[4:])
            for f, e in zip(found, expected, strict=True):
                for a, b in zip(f, e, strict=True):
                    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(("n_nodes", "dim"), [(2, 1), (16, 3), (64, 3), (33, 7), (4, 6)])
def test_nodes_have_the_moments_of_a_standard_normal(n_nodes, dim):
    nodes = normal_nodes(n_nodes, dim, seed=1)
    assert nodes.shape == (n_nodes, dim) and nodes.dtype == D64
    torch.testing.assert_close(nodes.mean(0), torch.zeros(dim, dtype=D64), rtol=0, atol=1e-12)
    covariance = nodes.T @ nodes / n_nodes
    expected = torch.eye(dim, dtype=D64)
    if n_nodes <= dim:
        covariance = torch.diag(torch.diagonal(covariance))
    torch.testing.assert_close(covariance, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_mirrored_nodes_average_polynomials_of_the_fifth_degree_exactly(dim):
    nodes = mirrored_nodes(32, dim, seed=1)
    assert nodes.shape == (32, dim) and nodes.dtype == D64
    assert torch.equal(nodes, mirrored_nodes(32, dim, seed=1))
    assert torch.equal(nodes[:16], -nodes[16:])
    moment_of_one = torch.tensor([1.0, 0.0, 1.0, 0.0, 3.0, 0.0], dtype=D64)
    for power in itertools.product(range(6), repeat=dim):
        if sum(power) <= 5:
            found = (nodes ** torch.tensor(power)).prod(1).mean()
            expected = moment_of_one[list(power)].prod()
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_nodes_are_reproducible_and_touch_no_global_generator():
    before = torch.get_rng_state()
    first = normal_nodes(32, 3, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, normal_nodes(32, 3, seed=2))
    assert not torch.equal(first, normal_nodes(32, 3, seed=3))


def test_wrong_input_says_what_would_do():
    with pytest.raises(ValueError, match="n_nodes must be at least 2, got 1"):
        normal_nodes(1, 3)
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        normal_nodes(8, 0)
    with pytest.raises(ValueError, match="n_classes must be at least 2, got 1"):
        default_nodes(1)
    with pytest.raises(ValueError, match="must have at least 3 dimensions, got 2 and 3"):
        decompose(*random_case(0), normal_nodes(8, 2), normal_nodes(8, 3))


@settings(max_examples=60)
@given(exponent=st.integers(-30, -5), seed=st.integers(0, 2**31))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_encoder_covariance_of_rounding_alone_says_nothing(dtype, exponent, seed):
    """Rounding has no sign: what should be zero may be a matrix that is no covariance."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(5, 3, 4, 4, generator=generator, dtype=dtype)
    rounding = 10.0**exponent * (noise + noise.mT)
    weights = torch.full((5, 3), 1 / 3, dtype=dtype)
    mean = torch.randn(5, 3, 4, generator=generator, dtype=dtype)
    var = 8.0 * torch.rand(5, 3, 4, generator=generator, dtype=dtype)
    nodes = [each.to(dtype) for each in default_nodes(4)]
    found = decompose(weights, mean, rounding, var, *nodes)
    wanted = decompose(weights, mean, torch.zeros_like(rounding), var, *nodes)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
