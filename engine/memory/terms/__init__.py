"""The side of a search that goes by words: what terms a text has, and the rows that they stand in."""
