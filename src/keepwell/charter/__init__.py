"""The charter: the declared intent for a model or a fleet. Pure: text and values in, values out."""
