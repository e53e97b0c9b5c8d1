"""
====================
Short texts by topic
====================

TF-IDF counts words, a truncated SVD makes a dense table of the counts, and an estimator
clusters it. The words that are frequent in a cluster say what it is about.
"""

# %%
# Texts
# -----
#
# 480 notes in three sentences each, made from words of four topics. A third of the
# sentences says nothing about the topic.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skdeepclust import GraphContrastiveClustering
from skdeepclust.display import EmbeddingDisplay

topics = {
    "kitchen": "soup oven flour butter recipe onion pan garlic dough spoon",
    "sky": "star telescope planet orbit comet moon galaxy lens eclipse cloud",
    "garden": "seed soil rose tomato shovel onion compost frost hedge cloud",
    "railway": "train track station signal ticket platform engine bridge frost lens",
}
about = ["the {} was near the {}", "we looked for a {} and a {}", "my {} needs a {}"]
about_nothing = ["it was a long day", "call me in the evening", "thanks for the letter"]
rng = np.random.default_rng(0)


def write(words):
    """Return a note of three sentences about some of the words."""
    sentences = [
        rng.choice(about).format(*rng.choice(words, 2, replace=False))
        if rng.random() < 2 / 3
        else rng.choice(about_nothing)
        for _ in range(3)
    ]
    return ". ".join(sentences)


topic = rng.integers(4, size=480)
words = [each.split() for each in topics.values()]
texts = [write(words[each]) for each in topic]
print(*texts[:3], sep="\n")

# %%
# Words to vectors to clusters
# ----------------------------
#
# The SVD is needed, since sparse matrices are refused; 50 to 300 components suit real
# texts, 20 suit these 40 words. ``Normalizer`` makes the vectors of short and long
# texts equally long. Do not standardize the components: the first ones matter most.

model = make_pipeline(
    TfidfVectorizer(stop_words="english"),
    TruncatedSVD(20, random_state=0),
    Normalizer(),
    GraphContrastiveClustering(n_clusters=4, random_state=0),
)
labels = model.fit(texts).predict(texts)

# %%
# What the clusters are about
# ---------------------------
#
# The words with the largest mean TF-IDF name a cluster. Only the adjusted Rand index
# uses the topics. It is below 1, since some notes have no sentence about their topic.

vectors = model[0].transform(texts)
vocabulary = model[0].get_feature_names_out()
names = []
for cluster in range(4):
    mean = np.asarray(vectors[labels == cluster].mean(axis=0)).ravel()
    names.append(vocabulary[np.argsort(-mean)[:4]])
    print(f"cluster {cluster}, {np.sum(labels == cluster)} notes:", *names[-1])
print(f"ARI: {adjusted_rand_score(topic, labels):.2f}")

# %%
# A new text
# ----------

note = ["the comet passed a bright star"]
print(names[model.predict(note)[0]], model.predict_proba(note).max().round(2))

# %%
# A picture
# ---------

display = EmbeddingDisplay.from_estimator(
    model, texts, method="tsne", random_state=0, legend=False
)
for cluster, top in enumerate(names):
    members = display.points[display.labels == cluster]
    top_middle = members[:, 0].mean(), members[:, 1].max()
    display.ax_.annotate(
        " ".join(top),
        top_middle,
        (0, 6),
        textcoords="offset points",
        ha="center",
        weight="bold",
    )
display.ax_.margins(0.2)
plt.show()

# %%
# Sentence embeddings
# -------------------
#
# A pretrained network knows that "train" and "railway" are related, which counts of
# words do not. Its vectors take the place of the first three steps:
#
# .. code-block:: python
#
#    from sentence_transformers import SentenceTransformer
#
#    vectors = SentenceTransformer("all-MiniLM-L6-v2").encode(texts)
#    labels = GraphContrastiveClustering(4, random_state=0).fit_predict(vectors)
