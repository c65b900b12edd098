"""What was got, what is needed, what to try: each in one line."""

import itertools
import re

import pytest
import torch

from pyg_distill.nn import ABKDLoss, KDLoss, StrideLoss

TEACHER = [torch.randn(6, 4), torch.randn(6, 4)]
STUDENT = [torch.randn(6, 2), torch.randn(6, 2)]
BATCH = torch.tensor([0, 0, 1, 1, 2, 2])
WIDTHS = [4, 4], [2, 2]


def raises(error, message):
    return pytest.raises(error, match=f'^{re.escape(message)}$')


def with_grad(x):
    return x.clone().requires_grad_()


@pytest.mark.parametrize(
    ('teacher', 'student', 'error', 'message'),
    [
        (
            [torch.randn(6, 4), torch.randn(6, 5)],
            STUDENT,
            ValueError,
            "'teacher' layer 1 must have the 4 channels that were declared "
            "(got 5); pass 'teacher_channels' as LayerRecorder.channels gives "
            'them',
        ),
        (
            TEACHER,
            [torch.randn(6, 3), torch.randn(6, 2)],
            ValueError,
            "'student' layer 0 must have the 2 channels that were declared "
            "(got 3); pass 'student_channels' as LayerRecorder.channels gives "
            'them',
        ),
        (
            TEACHER * 2,
            STUDENT,
            ValueError,
            "'teacher' must hold the 2 layers that were declared (got 4); "
            'record the same layers in every step',
        ),
        (
            TEACHER,
            STUDENT[:1],
            ValueError,
            "'student' must hold the 2 layers that were declared (got 1); "
            'record the same layers in every step',
        ),
        (
            TEACHER,
            [],
            ValueError,
            "'student' must hold the 2 layers that were declared (got 0); "
            'record the same layers in every step',
        ),
        (
            TEACHER,
            [x[:4] for x in STUDENT],
            ValueError,
            'teacher and student layers must have the same rows (got 6 and '
            '4); compare the seed nodes alone, which come first: '
            'batch_size=data.batch_size in Distiller.loss, or x[:batch_size] '
            'of every layer',
        ),
        (
            TEACHER,
            [STUDENT[0], STUDENT[1][:4]],
            ValueError,
            'teacher and student layers must have the same rows (got 4 to 6 '
            'and 4 to 6); compare the seed nodes alone, which come first: '
            'batch_size=data.batch_size in Distiller.loss, or x[:batch_size] '
            'of every layer; record layers of one row a node (before any '
            'pooling)',
        ),
        (
            [TEACHER[0], with_grad(TEACHER[1])],
            STUDENT,
            ValueError,
            "'teacher' layer 1 must not require gradients; run the teacher "
            'under torch.no_grad() and record it with detach=True',
        ),
        (
            [x[:0] for x in TEACHER],
            [x[:0] for x in STUDENT],
            ValueError,
            "'teacher' layer 0 must have at least one row (got none); skip "
            'empty batches',
        ),
        (
            TEACHER,
            [x[:0] for x in STUDENT],
            ValueError,
            "'student' layer 0 must have at least one row (got none); skip "
            'empty batches',
        ),
        (
            [x[:1] for x in TEACHER],
            [x[:1] for x in STUDENT],
            ValueError,
            "'granularity' 'node' must have two rows or more to centre (got "
            '1); use larger batches, drop_last=True, or center=False',
        ),
        (
            TEACHER,
            STUDENT[0],
            TypeError,
            "'student' must be a list of one tensor a layer (got Tensor); "
            'LayerRecorder.features() gives it',
        ),
        (
            None,
            STUDENT,
            TypeError,
            "'teacher' must be a list of one tensor a layer (got NoneType); "
            'LayerRecorder.features() gives it',
        ),
        (
            TEACHER,
            None,
            TypeError,
            "'student' must be a list of one tensor a layer (got NoneType); "
            'LayerRecorder.features() gives it',
        ),
        (
            TEACHER,
            [None, None],
            TypeError,
            "'student' layer 0 must be a tensor (got NoneType); declare "
            'channels by node type where layers are dictionaries',
        ),
        (
            TEACHER,
            [torch.ones(6, 2).long()] * 2,
            ValueError,
            "'student' layer 0 must be a floating-point matrix [N, C] (got "
            'torch.int64 of shape [6, 2]); flatten it first',
        ),
        (
            TEACHER,
            [torch.ones(6, 1, 2)] * 2,
            ValueError,
            "'student' layer 0 must be a floating-point matrix [N, C] (got "
            'torch.float32 of shape [6, 1, 2]); flatten it first',
        ),
    ],
)
@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
def test_layers(attention, teacher, student, error, message):
    loss = ABKDLoss(*WIDTHS, attention)
    with raises(error, message):
        loss(teacher, student)
    with raises(error, message):
        loss.compare(teacher, student)


def test_target_of_other_rows():
    for attention in ['learned', 'diagonal']:
        loss = ABKDLoss(*WIDTHS, attention)
        target = loss.prepare(TEACHER)
        with pytest.raises(ValueError, match=r'\(got 6 and 4\).*batch_size'):
            loss(target, [x[:4] for x in STUDENT])
        with pytest.raises(TypeError, match=r'must be a list.*TeacherTarget'):
            loss.compare(target, STUDENT)
    with pytest.raises(ValueError, match=r'must not require gradients'):
        loss.prepare([with_grad(x) for x in TEACHER])


def test_target_of_another_loss():
    losses = [
        ABKDLoss(*WIDTHS),
        ABKDLoss(*WIDTHS, 'learned'),
        ABKDLoss(*WIDTHS, 'uniform', projection='both'),
        StrideLoss(*WIDTHS),
    ]
    # Learned attention reads more than the others do.
    fine = {(0, 0), (1, 1), (1, 0), (2, 2), (3, 3), (3, 2)}
    for i, j in itertools.product(range(4), repeat=2):
        target = losses[i].prepare(TEACHER)
        torch.manual_seed(0)
        if (i, j) in fine:
            got = losses[j](target, STUDENT)
            torch.manual_seed(0)
            torch.testing.assert_close(got, losses[j](TEACHER, STUDENT))
            continue
        with raises(
            ValueError,
            "'teacher' must be a target of this loss (got one for another "
            'attention or projection); call its own prepare()',
        ):
            losses[j](target, STUDENT)
    with raises(
        TypeError,
        "'teacher' must be a list of one tensor a layer (got dict); "
        'LayerRecorder.features() gives it',
    ):
        ABKDLoss(*WIDTHS)({'a': target}, STUDENT)


def test_target_of_other_layers():
    # The last layers of these have a width each, the loss of all has two.
    widths = [4, 3], [2, 2]
    target = ABKDLoss(*widths, 'learned').prepare(
        [torch.randn(6, 4), torch.randn(6, 3)]
    )
    with raises(
        ValueError,
        "'teacher' must be a target of this loss (got one of layers of [3, 4] "
        'channels, not [3]); call its own prepare()',
    ):
        ABKDLoss(*widths, 'last')(target, STUDENT)


def test_pooled_rows_may_differ():
    loss = ABKDLoss(*WIDTHS, granularity='pooled', center=False)
    assert loss(TEACHER, [x[:4] for x in STUDENT]).isfinite()
    assert loss(TEACHER, [STUDENT[0], STUDENT[1][:4]]).isfinite()


@pytest.mark.parametrize(
    ('batch', 'message'),
    [
        (
            None,
            "'batch' must be given with granularity='graph' (got None); pass "
            'data.batch',
        ),
        (
            BATCH[:5],
            "'batch' must hold the graph of each of 6 nodes (got torch.int64 "
            'of shape [5]); pass data.batch',
        ),
        (
            BATCH.float(),
            "'batch' must hold the graph of each of 6 nodes (got "
            'torch.float32 of shape [6]); pass data.batch',
        ),
    ],
)
def test_batch(batch, message):
    loss = ABKDLoss(*WIDTHS, granularity='graph')
    with raises(ValueError, message):
        loss(TEACHER, STUDENT, batch)
    with raises(ValueError, message):
        loss.prepare(TEACHER, batch)
    target = loss.prepare(TEACHER, BATCH)
    with raises(ValueError, message):
        loss(target, STUDENT, batch)


def test_rows_to_centre():
    one = torch.zeros(6, dtype=torch.long)
    loss = ABKDLoss(*WIDTHS, granularity='graph')
    with pytest.raises(ValueError, match=r"'graph' must have two rows"):
        loss(TEACHER, STUDENT, one)
    loss = ABKDLoss(*WIDTHS, granularity='group')
    with pytest.raises(ValueError, match=r"'group' must have two rows"):
        loss([x[:1] for x in TEACHER], [x[:1] for x in STUDENT])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'granularity': 'pooled'},
            "'granularity' 'pooled' has a single row, which centring makes "
            "zero; pass center=False or granularity='group'",
        ),
        (
            {'granularity': 'edge'},
            "'granularity' must be 'node', 'group', 'graph' or 'pooled' (got "
            "'edge')",
        ),
        (
            {'projection': 'teacher'},
            "'projection' must be 'student', 'both' or None (got 'teacher')",
        ),
        (
            {'reduction': 'none'},
            "'reduction' must be 'mean' or 'sum' (got 'none')",
        ),
        (
            {'attention': 'random'},
            "'attention' must be 'learned', 'uniform', 'diagonal', 'last' or "
            "a matrix (got 'random')",
        ),
        (
            {'attention': 'learned', 'softmax_over': 'all'},
            "'softmax_over' must be 'student' or 'teacher' (got 'all')",
        ),
        (
            {'softmax_over': 'all'},
            "'softmax_over' must be 'student' or 'teacher' (got 'all')",
        ),
        *[
            (
                {'temperature': value},
                f"'temperature' must be a finite number above 0 (got "
                f'{value!r}); try 1.0',
            )
            for value in [0.0, float('nan'), float('inf'), 'a', None]
        ],
        *[
            (
                {'attention': value},
                f"'attention' must be 'learned', 'uniform', 'diagonal', "
                f"'last' or a matrix of numbers (got {value!r}); try rows of "
                f'equal length, one a teacher layer',
            )
            for value in [None, [[1.0], [1.0, 2.0]], [['a', 'b']] * 2]
        ],
        (
            {'hidden_channels': 0},
            "'hidden_channels' must be a whole number above 0 (got 0); leave "
            'it out for the default',
        ),
        (
            {'hidden_channels': 2.5},
            "'hidden_channels' must be a whole number above 0 (got 2.5); leave "
            'it out for the default',
        ),
        (
            {'num_groups': -1},
            "'num_groups' must be a whole number above 0 (got -1); leave "
            'it out for the default',
        ),
        (
            {'granularity': 'group', 'num_groups': 1},
            "'num_groups' must be 2 or more to centre (got 1); pass more "
            'groups, or center=False',
        ),
        (
            {'subspace': True},
            "'subspace' maps two projected sides (got projection='student'); "
            "pass projection='both'",
        ),
        (
            {'projection': None},
            "'projection' must map layers of unequal width (got None and "
            'widths [2, 4]); leave projection out',
        ),
    ],
)
def test_options(options, message):
    with raises(ValueError, message):
        ABKDLoss(*WIDTHS, **options)


def test_single_layer():
    message = (
        "'attention' cannot be learned over a single {} layer, its weight is "
        "always 1; pass attention='uniform' or record more layers"
    )
    with raises(ValueError, message.format('student')):
        ABKDLoss([4, 4], [2], 'learned')
    with raises(ValueError, message.format('teacher')):
        ABKDLoss([4], [2, 2], 'learned', softmax_over='teacher')
    ABKDLoss([4], [2, 2], 'learned')
    ABKDLoss([4, 4], [2], 'learned', softmax_over='teacher')
    with raises(ValueError, message.format('student')):
        ABKDLoss.paper([4, 4], [2])


@pytest.mark.parametrize(
    'channels', [[], [4, 0], [4, -1], [4, 2.5], [4, None], 64, None, 'a']
)
def test_channels(channels):
    message = (
        f'must list the width of each layer (got {channels!r}); '
        f'LayerRecorder.channels gives it'
    )
    with raises(ValueError, f"'teacher_channels' {message}"):
        ABKDLoss(channels, [2])
    with raises(ValueError, f"'student_channels' {message}"):
        ABKDLoss([4], channels)
    with pytest.raises(ValueError, match=r"'student_channels' must list"):
        ABKDLoss([{'a': 4}], [{'a': 0}])


def test_stride():
    with raises(
        ValueError,
        "'StrideLoss' projects both sides (got projection='student'); use "
        'ABKDLoss for the first term alone',
    ):
        StrideLoss(*WIDTHS, projection='student')
    message = (
        "'structure_weight' must be at least 0 (got -1); pass 0 to leave the "
        'term out'
    )
    with raises(ValueError, message):
        StrideLoss(*WIDTHS, structure_weight=-1)
    message = (
        "'structure_temperature' must be a finite number above 0 (got 0); "
        'try 1.0'
    )
    with raises(ValueError, message):
        StrideLoss(*WIDTHS, structure_temperature=0)
    message = (
        "'num_samples' must be a whole number above 0 (got 0); leave it out "
        'for the default'
    )
    with raises(ValueError, message):
        StrideLoss(*WIDTHS, num_samples=0)
    with pytest.raises(ValueError, match=r"'granularity' must be"):
        StrideLoss(*WIDTHS, granularity='edge')


def test_before_the_first_call():
    loss = ABKDLoss(*WIDTHS)
    for name in ['last_attention', 'last_distance']:
        with raises(
            RuntimeError,
            "'ABKDLoss' has not been called yet; call it, or use "
            'compare(teacher, student)',
        ):
            getattr(loss, name)
    loss(TEACHER, STUDENT)
    with raises(
        RuntimeError,
        "attention='uniform' folds the teacher's layers and computes no "
        'distances of pairs; call compare(teacher, student)',
    ):
        loss.last_distance  # noqa: B018


def test_kd():
    teacher, student = torch.randn(2, 6, 3)
    for value in [0, None, 'a', float('inf'), float('nan')]:
        with raises(
            ValueError,
            f"'temperature' must be a finite number above 0 (got {value!r}); "
            f'try 1.0',
        ):
            KDLoss(value)
    with raises(
        ValueError,
        "'teacher' and 'student' must be logits of one shape [N, C] (got [6, "
        '3] and [4, 3]); compare the same rows of both, such as '
        'out[:batch_size]',
    ):
        KDLoss()(teacher, student[:4])
    with pytest.raises(ValueError, match=r'one shape \[N, C\]'):
        KDLoss()(teacher[None], student[None])
    with raises(
        ValueError,
        "'teacher' and 'student' must be logits of shape [N, C] (got [3] of "
        'both); for a binary logit pass multi_label=True, for one column use '
        'unsqueeze(-1)',
    ):
        KDLoss()(teacher[0], student[0])
    with raises(
        ValueError,
        "'teacher' must not require gradients; run the teacher under "
        'torch.no_grad() or pass teacher.detach()',
    ):
        KDLoss()(with_grad(teacher), student)
    for size in [(0, 3), (6, 0)]:
        with raises(
            ValueError,
            f"'student' must hold at least one row and class (got "
            f'{list(size)}); skip empty batches',
        ):
            KDLoss()(torch.ones(size), torch.ones(size))
    with raises(
        ValueError,
        "'student' must have two classes or more (got one column, whose "
        'softmax is always 1); pass multi_label=True for a binary logit, or '
        'use another loss than KDLoss for regression',
    ):
        KDLoss()(teacher[:, :1], student[:, :1])
    assert KDLoss(multi_label=True)(teacher[:, :1], student[:, :1]) > 0
