"""Registers the pipeline's kernels with the search loops."""

from objectives.pipeline.kernels.packed import PipelineData
from objectives.pipeline.kernels.scores import pipeline_cost
from placement.search.kernels.encoding import provide

from .moves import pipeline_crossover, pipeline_neighbour
from .split import pipeline_from_keys

provide(
    PipelineData,
    evaluate=pipeline_cost,
    neighbour=pipeline_neighbour,
    crossover=pipeline_crossover,
    from_keys=pipeline_from_keys,
)
