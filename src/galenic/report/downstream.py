"""The words of the page on labels of drugs and of pairs of drugs."""

from __future__ import annotations

LABEL_SPLITS = {
    "pair": ("unseen pairs", "Both drugs were seen with other partners, this pair was not. Can gaps be filled?"),
    "drug": ("unseen drugs", "What is the label of a new drug, one of a structure never trained on?"),
    "cell": ("unseen cells", "What is the label of known drugs in a cell never trained on?"),
}
"""Where ``SPLITS`` asks something else: here a pair is two drugs."""
LABEL_GLOSSARY = {
    "Label": "What is predicted: of a drug (toxicity, sensitivity) or of a pair of drugs (synergy).",
    "Representation": "The numbers that stand for a drug: genes of its profile, an embedding of these (X_...), "
    "principal components (pca). Those of a pair do not depend on which drug is named first.",
    "Head": "What reads a representation: forest, boosting or network, with fixed settings.",
    "Floor": "A representation without genes: which drug it is (onehot), its fingerprint, its properties (weight, logP "
    "and the like), its dose; or the mean label (prior). What does not beat the best of them knows nothing that the "
    "structure or the name does not tell.",
    "AUROC": "Chance that a row of class 1 is ranked above one of class 0; 0.5 is a coin.",
    "AUPRC": "Average precision; chance is the share of class 1.",
    "Balanced accuracy": "Mean of the shares of both classes that are told right; 0.5 is a coin.",
    "Interval": "95 %. Of a score: Student's t over folds, seeds averaged first. Of a difference: paired over folds "
    "and seeds, widened for the training rows that folds share.",
    "Detectable, needed": "In comparison.csv: the smallest true difference that these data would show with a chance of "
    "80 %; and about how many drugs or pairs would show the difference that was found, if it is true.",
    "Fold, seed": "Each fold holds out another part of the data; each seed divides it anew.",
}
