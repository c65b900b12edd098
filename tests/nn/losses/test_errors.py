"""Errors say what was got, what is needed and what to try."""

import itertools

import pytest
import torch

from pyg_distill.nn import ABKDLoss, StrideLoss

TEACHER = [torch.randn(6, 4), torch.randn(6, 4)]
STUDENT = [torch.randn(6, 2), torch.randn(6, 2)]
BATCH = torch.tensor([0, 0, 1, 1, 2, 2])
WIDTHS = [4, 4], [2, 2]


def with_grad(x):
    return x.clone().requires_grad_()


@pytest.mark.parametrize(
    ('teacher', 'student', 'error', 'match'),
    [
        (
            [TEACHER[0], torch.randn(6, 5)],
            STUDENT,
            ValueError,
            r"'teacher' layer 1 .* 4 channels .*\[6, 5\]",
        ),
        (TEACHER * 2, STUDENT, ValueError, "'teacher' .* 2 layers .*got 4"),
        (TEACHER, STUDENT[:1], ValueError, "'student' .* 2 layers .*got 1"),
        (
            TEACHER,
            [x[:4] for x in STUDENT],
            ValueError,
            'same rows .*4 and 6.*batch_size',
        ),
        (
            TEACHER,
            [STUDENT[0], STUDENT[1][:4]],
            ValueError,
            'same rows .*4 and 6.*before any pooling',
        ),
        (
            [TEACHER[0], with_grad(TEACHER[1])],
            STUDENT,
            ValueError,
            "'teacher' layer 1 must not require gradients",
        ),
        (
            [x[:0] for x in TEACHER],
            [x[:0] for x in STUDENT],
            ValueError,
            "'teacher' layer 0 .* at least one row",
        ),
        (
            [x[:1] for x in TEACHER],
            [x[:1] for x in STUDENT],
            ValueError,
            "'node' must have two rows .*got 1",
        ),
        (TEACHER, STUDENT[0], TypeError, "'student' .* list .*got Tensor"),
        (TEACHER, None, TypeError, "'student' .* list .*got NoneType"),
        (
            TEACHER,
            [x.long() for x in STUDENT],
            ValueError,
            "'student' layer 0 .* floating-point .*int64",
        ),
    ],
)
@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
def test_layers(attention, teacher, student, error, match):
    loss = ABKDLoss(*WIDTHS, attention)
    for call in (loss, loss.compare):
        with pytest.raises(error, match=match):
            call(teacher, student)


@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
def test_targets(attention):
    loss = ABKDLoss(*WIDTHS, attention)
    target = loss.prepare(TEACHER)
    with pytest.raises(ValueError, match=r'same rows .*batch_size'):
        loss(target, [x[:4] for x in STUDENT])
    with pytest.raises(TypeError, match=r'must be a list.*TeacherTarget'):
        loss.compare(target, STUDENT)
    with pytest.raises(TypeError, match=r'must be a list.*dict'):
        loss({'a': target}, STUDENT)
    with pytest.raises(ValueError, match=r'must not require gradients'):
        loss.prepare([with_grad(x) for x in TEACHER])


def test_target_of_another_loss():
    losses = [
        ABKDLoss(*WIDTHS),
        ABKDLoss(*WIDTHS, 'learned'),
        ABKDLoss(*WIDTHS, projection='both'),
        StrideLoss(*WIDTHS),
    ]
    for (i, source), (j, loss) in itertools.product(
        enumerate(losses), repeat=2
    ):
        target = source.prepare(TEACHER)
        if i == j:
            torch.manual_seed(0)
            out = loss(target, STUDENT)
            torch.manual_seed(0)
            torch.testing.assert_close(out, loss(TEACHER, STUDENT))
            continue
        with pytest.raises(ValueError, match="'teacher' must be a target of"):
            loss(target, STUDENT)
    # The last layers have a width each, the loss of all has two.
    widths = [4, 3], [2, 2]
    teacher = [torch.randn(6, 4), torch.randn(6, 3)]
    target = ABKDLoss(*widths).prepare(teacher)
    with pytest.raises(ValueError, match=r'\[3, 4\] channels, not \[3\]'):
        ABKDLoss(*widths, 'last')(target, STUDENT)


def test_pooled_rows_may_differ():
    loss = ABKDLoss(*WIDTHS, granularity='pooled', center=False)
    assert loss(TEACHER, [x[:4] for x in STUDENT]).isfinite()
    assert loss(TEACHER, [STUDENT[0], STUDENT[1][:4]]).isfinite()


@pytest.mark.parametrize('batch', [None, BATCH[:5], BATCH.float()])
def test_batch(batch):
    loss = ABKDLoss(*WIDTHS, granularity='graph')
    match = "'batch' must hold the graph of each of 6 nodes"
    for call in [
        lambda: loss(TEACHER, STUDENT, batch),
        lambda: loss.prepare(TEACHER, batch),
        lambda: loss(loss.prepare(TEACHER, BATCH), STUDENT, batch),
    ]:
        with pytest.raises(ValueError, match=match):
            call()


def test_rows_to_center():
    loss = ABKDLoss(*WIDTHS, granularity='graph')
    with pytest.raises(ValueError, match=r"'graph' must have two rows"):
        loss(TEACHER, STUDENT, torch.zeros(6, dtype=torch.long))
    loss = ABKDLoss(*WIDTHS, granularity='group')
    with pytest.raises(ValueError, match=r"'group' must have two rows"):
        loss([x[:1] for x in TEACHER], [x[:1] for x in STUDENT])


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'granularity': 'pooled'}, "'pooled' has a single row"),
        ({'granularity': 'edge'}, "'granularity' must be .*'pooled'.*'edge'"),
        ({'projection': 'teacher'}, "'projection' must be .*None.*'teacher'"),
        ({'hidden_channels': 0}, "'hidden_channels' .*1 or more.*got 0"),
        ({'hidden_channels': 2.5}, "'hidden_channels' .*1 or more.*got 2.5"),
        ({'num_groups': -1}, "'num_groups' .*1 or more.*got -1"),
        (
            {'granularity': 'group', 'num_groups': 1},
            "'num_groups' .*2 or more.*got 1",
        ),
        ({'max_nodes': 0}, "'max_nodes' .*2 or more.*got 0"),
        ({'max_nodes': 1}, "'max_nodes' .*2 or more.*got 1"),
        (
            {'max_nodes': 5, 'granularity': 'group'},
            "'max_nodes' draws from nodes .*'group'",
        ),
        ({'subspace': True}, "'subspace' maps two projected sides"),
        ({'projection': None}, r"'projection' must map .*\[2, 4\]"),
    ],
)
def test_options(options, match):
    with pytest.raises(ValueError, match=match):
        ABKDLoss(*WIDTHS, **options)


@pytest.mark.parametrize(
    'channels', [[], [4, 0], [4, -1], [4, 2.5], [4, None], 64, None, 'a']
)
def test_channels(channels):
    match = 'must list the width of each layer'
    with pytest.raises(ValueError, match=f"'teacher_channels' {match}"):
        ABKDLoss(channels, [2])
    with pytest.raises(ValueError, match=f"'student_channels' {match}"):
        ABKDLoss([4], channels)
    with pytest.raises(ValueError, match=f"'student_channels' {match}"):
        ABKDLoss([{'a': 4}], [{'a': 0}])
