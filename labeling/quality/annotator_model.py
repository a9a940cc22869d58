"""The noisy Bradley-Terry model of annotators: who follows the pair, and who follows a side.

P(k answers left | i left, j right) = g_k sigmoid(s_i - s_j) + (1 - g_k) q_k

s_i is the score of rollout i, g_k the skill of annotator k (share of answers that follow the pair) and q_k their chance of saying
left otherwise (left bias; 0.5 is fair). The model is the one of NoisyBradleyTerry in crowd-kit (after Bugakova et al., 2019), here with
ties as half an answer for each side, gold pairs as known scores, and priors, since most rollouts are seen only once or twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Prior of a person one knows nothing of: skill about 0.85, no bias; both wide enough that twenty answers outweigh them.
SKILL_LOGIT_MEAN, SKILL_LOGIT_SD = 1.7, 1.2
BIAS_LOGIT_SD = 1.0
SCORE_SD = 2.0
# A gold pair counts as this many answers of somebody who is never wrong.
GOLD_ANSWERS = 4.0


@dataclass(frozen=True)
class Observation:
    """One answer: `left_share` is 1 for left, 0 for right, 0.5 for a tie."""

    annotator: int
    left: int
    right: int
    left_share: float


@dataclass(frozen=True)
class AnnotatorFit:
    """skill and left_bias in 0..1; weight in 0..1 is what one answer of theirs counts in a round; n answers seen."""

    annotator: int
    skill: float
    left_bias: float
    weight: float
    n: int


def fit_annotators(observations: Sequence[Observation], gold: Sequence[tuple[int, int]] = ()) -> list[AnnotatorFit]:
    """Maximum a posteriori estimates, one for each annotator, ordered by annotator.

    gold: (better rollout, worse rollout) pairs.
    """
    if not observations:
        return []
    items = {
        item: place for place, item in enumerate(sorted({o.left for o in observations} | {o.right for o in observations} | {i for pair in gold for i in pair}))
    }
    people = {person: place for place, person in enumerate(sorted({o.annotator for o in observations}))}
    who = np.asarray([people[o.annotator] for o in observations])
    left = np.asarray([items[o.left] for o in observations])
    right = np.asarray([items[o.right] for o in observations])
    y = np.asarray([o.left_share for o in observations])
    better = np.asarray([items[a] for a, _ in gold], dtype=int)
    worse = np.asarray([items[b] for _, b in gold], dtype=int)
    count, crowd = len(items), len(people)

    def negative_log_posterior(theta: np.ndarray) -> tuple[float, np.ndarray]:
        s, skill, bias = theta[:count], theta[count : count + crowd], theta[count + crowd :]
        g, q, f = _sigmoid(skill)[who], _sigmoid(bias)[who], _sigmoid(s[left] - s[right])
        p = np.clip(g * f + (1 - g) * q, 1e-9, 1 - 1e-9)
        loss = -(y * np.log(p) + (1 - y) * np.log1p(-p)).sum()
        by_p = -(y / p - (1 - y) / (1 - p))
        gradient = np.zeros_like(theta)
        by_s = by_p * g * f * (1 - f)
        np.add.at(gradient, left, by_s)
        np.add.at(gradient, right, -by_s)
        np.add.at(gradient, count + who, by_p * (f - q) * g * (1 - g))
        np.add.at(gradient, count + crowd + who, by_p * (1 - g) * q * (1 - q))
        sure = _sigmoid(s[better] - s[worse])
        loss -= GOLD_ANSWERS * np.log(np.clip(sure, 1e-12, 1)).sum()
        np.add.at(gradient, better, -GOLD_ANSWERS * (1 - sure))
        np.add.at(gradient, worse, GOLD_ANSWERS * (1 - sure))
        loss += 0.5 * (s**2).sum() / SCORE_SD**2
        loss += 0.5 * ((skill - SKILL_LOGIT_MEAN) ** 2).sum() / SKILL_LOGIT_SD**2
        loss += 0.5 * (bias**2).sum() / BIAS_LOGIT_SD**2
        gradient[:count] += s / SCORE_SD**2
        gradient[count : count + crowd] += (skill - SKILL_LOGIT_MEAN) / SKILL_LOGIT_SD**2
        gradient[count + crowd :] += bias / BIAS_LOGIT_SD**2
        return float(loss), gradient

    start = np.concatenate([np.zeros(count), np.full(crowd, SKILL_LOGIT_MEAN), np.zeros(crowd)])
    from scipy.optimize import minimize  # half a second to import, which every process that starts would wait for

    theta = minimize(negative_log_posterior, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    skill, bias = _sigmoid(theta[count : count + crowd]), _sigmoid(theta[count + crowd :])
    answers = np.bincount(who, minlength=crowd)
    return [
        AnnotatorFit(person, float(skill[place]), float(bias[place]), float(np.clip(skill[place], 0.0, 1.0)), int(answers[place]))
        for person, place in people.items()
    ]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * z))
