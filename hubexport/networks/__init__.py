"""The networks, in TensorFlow and nothing else.

Letters in shape comments: B batch, S sequence, H hidden size, A attention heads, D head size,
I intermediate size, E embedding size, V vocabulary, P positions, T token types.
"""
