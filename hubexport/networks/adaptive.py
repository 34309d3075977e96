"""Words in clusters: embeddings of a size for each, and a softmax that goes through them.

Of Transformer-XL (arxiv.org/abs/1901.02860), after arxiv.org/abs/1809.10853 and 1609.04309.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

from hubexport.networks.clusters import Clusters, Table
from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import dropout
from hubexport.networks.padding import State, layout_of
from hubexport.networks.variables import NamedVariables, Variables, in_dtype


class AdaptiveEmbeddings(tf.Module):
    """Rows of the tables, projected to the hidden size and multiplied by its square root.

    No position is added, no type and no norm.

    Args:
      config: of the network.
      variables: where tables and projections are.
      clusters: the words.
    """

    def __init__(self, config: EncoderConfig, variables: Variables, clusters: Clusters):
        super().__init__()
        self.config, self.layout, self.clusters = config, layout_of(config), clusters
        scopes = [f"embeddings/cutoff_{i}" for i, _ in enumerate(clusters.tables)]
        self.tables = [
            variables(f"{scope}/word_embeddings", table.end - table.start, table.size)
            for scope, table in zip(scopes, clusters.tables, strict=True)
        ]
        self.projections = [
            variables(f"{scope}/projection", table.size, config.hidden_size, dense=True)
            if table.projected
            else None
            for scope, table in zip(scopes, clusters.tables, strict=True)
        ]
        self.word_embeddings = self.tables[0]  # of the most frequent words

    def __call__(self, inputs: Mapping[str, tf.Tensor], state: State, training: bool) -> tf.Tensor:
        """`input_word_ids` int32 [B, S] -> rows [N, H] in the network's dtype."""
        c = self.config
        ids = tf.reshape(self.layout.of_rows(inputs["input_word_ids"], state), [-1])  # [N]
        found = [
            self._projected(self._rows(ids, i, table), self.projections[i])
            for i, table in enumerate(self.clusters.tables)
        ]
        x = math.sqrt(c.hidden_size) * tf.add_n(found)
        return dropout(x, c.hidden_dropout_prob, training)

    def _rows(self, ids: tf.Tensor, number: int, table: Table) -> tf.Tensor:
        """The rows of ids [N] in a table, zeros where they are not of it: [N, size].

        The first and the last table take what is in none, so that it is an error as elsewhere.
        """
        if len(self.tables) == 1:
            return tf.gather(self.tables[number], ids)
        here = tf.ones_like(ids, tf.bool)
        if number > 0:
            here = tf.logical_and(here, ids >= table.start)
        if number < len(self.tables) - 1:
            here = tf.logical_and(here, ids < table.end)
        rows = tf.gather(self.tables[number], tf.where(here, ids - table.start, 0))
        return rows * tf.expand_dims(tf.cast(here, rows.dtype), 1)

    def _projected(self, rows: tf.Tensor, projection: tf.Variable | None) -> tf.Tensor:
        rows = tf.cast(rows, self.config.dtype)
        if projection is None:
            return rows
        return tf.matmul(rows, in_dtype(projection, rows.dtype))


class AdaptiveSoftmax(tf.Module):
    """Log-probabilities of all words, [N, H] -> float32 [N, V].

    The first cluster's words compete with the other clusters; the words of each of those compete
    among themselves.

    Args:
      variables: where biases, scores of clusters and projections of its own are, below `scope`.
      embeddings: whose tables, and tied projections, words are scored by.
    """

    def __init__(self, variables: NamedVariables, scope: str, embeddings: AdaptiveEmbeddings):
        super().__init__()
        self.clusters = clusters = embeddings.clusters
        self.dtype, self.tables = embeddings.config.dtype, embeddings.tables
        hidden, first = embeddings.config.hidden_size, clusters.tables[0]
        self.biases, self.projections = [], []
        for i, (start, end) in enumerate(clusters.ranges):
            number = clusters.table(i)
            table, projection = clusters.tables[number], embeddings.projections[number]
            self.biases.append(variables(f"{scope}/cutoff_{i}/output_bias", end - start))
            if table.projected and not clusters.tied[i]:
                own = f"{scope}/cutoff_{i}/projection"
                projection = variables(own, table.size, hidden, dense=True)
            self.projections.append(projection)
        others = len(clusters.ends) - 1
        self.of_clusters = (
            variables(f"{scope}/clusters/output_weights", others, first.size, dense=True)
            if others
            else None
        )
        self.cluster_bias = variables(f"{scope}/clusters/output_bias", others) if others else None

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(rows, self.dtype)
        shortlist = self.clusters.ends[0]
        scores = self._scores(rows, 0)
        if self.of_clusters is not None:
            of_clusters = _products(self._projected(rows, 0), self.of_clusters) + self.cluster_bias
            scores = tf.concat([scores, of_clusters], axis=1)
        head = tf.nn.log_softmax(scores)  # [N, shortlist + other clusters]
        found = [head[:, :shortlist]]
        for i in range(1, len(self.clusters.ends)):
            column = shortlist + i - 1
            found.append(head[:, column : column + 1] + tf.nn.log_softmax(self._scores(rows, i)))
        return tf.concat(found, axis=1)

    def _scores(self, rows: tf.Tensor, cluster: int) -> tf.Tensor:
        """Of a cluster's words, [N, its size]."""
        start, end = self.clusters.ranges[cluster]
        number = self.clusters.table(cluster)
        weights = self.tables[number]
        if len(self.tables) < len(self.clusters.ends):  # of one table, its rows
            weights = weights[start:end]
        return _products(self._projected(rows, cluster), weights) + self.biases[cluster]

    def _projected(self, rows: tf.Tensor, cluster: int) -> tf.Tensor:
        """Rows [N, H] as large as the cluster's embeddings: [N, size]."""
        projection = self.projections[cluster]
        if projection is None:
            return rows
        return tf.matmul(rows, in_dtype(projection, rows.dtype), transpose_b=True)


def _products(rows: tf.Tensor, weights: tf.Variable | tf.Tensor) -> tf.Tensor:
    """[N, E] with each of [C, E]: float32 [N, C]."""
    return tf.cast(tf.matmul(rows, in_dtype(weights, rows.dtype), transpose_b=True), tf.float32)
