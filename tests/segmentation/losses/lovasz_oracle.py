"""Lovasz losses in plain Python: sets of wrong pixels, and their Jaccard loss by counting."""

import torch


def jaccard_loss(wrong: set[int], is_pos: list[bool]) -> float:
    positives = {pixel for pixel, value in enumerate(is_pos) if value}
    union = positives | wrong
    return 1 - len(positives - wrong) / len(union) if union else 0.0


def extension(errors: list[float], is_pos: list[bool]) -> float:
    total, wrong = 0.0, set()
    for pixel in sorted(range(len(errors)), key=lambda pixel: -errors[pixel]):
        before = jaccard_loss(wrong, is_pos)
        wrong.add(pixel)
        total += errors[pixel] * (jaccard_loss(wrong, is_pos) - before)
    return total


def hinge(logits, targets, ignore_index=255) -> float:
    pairs = [
        (float(logit), int(target))
        for logit, target in zip(logits.flatten(), targets.flatten(), strict=True)
        if target != ignore_index
    ]
    errors = [max(0.0, 1 - logit * (2 * target - 1)) for logit, target in pairs]
    return extension(errors, [target == 1 for _, target in pairs])


def softmax_classes(probs, targets, ignore_index=255) -> list[tuple[bool, float]]:
    """Whether each class is present, and its loss; probs (N, C, H, W), targets (N, H, W)."""
    results = []
    for channel in range(probs.shape[1]):
        label = channel if probs.shape[1] > 1 else 1
        errors, is_pos = [], []
        for prob, target in zip(probs[:, channel].flatten(), targets.flatten(), strict=True):
            if target != ignore_index:
                is_pos.append(int(target) == label)
                errors.append(abs(is_pos[-1] - float(prob)))
        results.append((any(is_pos), extension(errors, is_pos)))
    return results


def softmax_mean(probs, targets, classes='present', class_weight=None) -> float:
    """Mean over classes; 0 if none counts."""
    losses = []
    for channel, (present, loss) in enumerate(softmax_classes(probs, targets)):
        if classes == 'all' or (present if classes == 'present' else channel in classes):
            losses.append(loss * (class_weight[channel] if class_weight else 1))
    return sum(losses) / len(losses) if losses else 0.0


def random_batch(seed, shape=(2, 4, 5, 6), ignored=0.2, dtype=torch.float64):
    """Logits and targets, a part of them ignored, of which two classes at most are absent."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    labels = max(2, shape[1] - 1)
    targets = torch.randint(labels, (shape[0], *shape[2:]), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < ignored] = 255
    return logits, targets
