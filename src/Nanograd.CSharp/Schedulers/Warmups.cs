namespace Nanograd.CSharp;

/// <summary>Hugging Face's <c>get_constant_schedule_with_warmup</c>: up along a line, then constant.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="numWarmupSteps">Steps until the full rate.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class WarmupConstantLR(Optimizer optimizer, int numWarmupSteps, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.WarmupConstant(rate, numWarmupSteps));

/// <summary>Hugging Face's <c>get_linear_schedule_with_warmup</c>: up along a line, then down to 0 along another.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="numWarmupSteps">Steps until the full rate.</param>
/// <param name="numTrainingSteps">Steps until 0.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class WarmupLinearLR(Optimizer optimizer, int numWarmupSteps, int numTrainingSteps, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.WarmupLinear(rate, numWarmupSteps, numTrainingSteps));

/// <summary>Hugging Face's <c>get_cosine_schedule_with_warmup</c>: up along a line, then along a cosine.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="numWarmupSteps">Steps until the full rate.</param>
/// <param name="numTrainingSteps">Steps in all.</param>
/// <param name="numCycles">Periods of the cosine; a half: down to 0.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class WarmupCosineLR(Optimizer optimizer, int numWarmupSteps, int numTrainingSteps, double numCycles = 0.5, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.WarmupCosine(rate, numWarmupSteps, numTrainingSteps, numCycles));

/// <summary>Hugging Face's <c>get_cosine_with_hard_restarts_schedule_with_warmup</c>: up along a line, then several times down along a cosine.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="numWarmupSteps">Steps until the full rate.</param>
/// <param name="numTrainingSteps">Steps in all.</param>
/// <param name="numCycles">How many times.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class WarmupCosineHardRestartsLR(Optimizer optimizer, int numWarmupSteps, int numTrainingSteps, int numCycles = 1, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.WarmupCosineHardRestarts(rate, numWarmupSteps, numTrainingSteps, numCycles));

/// <summary>Hugging Face's <c>get_polynomial_decay_schedule_with_warmup</c>: up along a line, then (1 - s)^power down to <c>lrEnd</c>.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="numWarmupSteps">Steps until the full rate.</param>
/// <param name="numTrainingSteps">Steps in all.</param>
/// <param name="lrEnd">The last rate.</param>
/// <param name="power">The power.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class WarmupPolynomialLR(Optimizer optimizer, int numWarmupSteps, int numTrainingSteps, double lrEnd = 1e-7, double power = 1, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.WarmupPolynomial(rate, lrEnd, power, numWarmupSteps, numTrainingSteps));

/// <summary>nanoGPT's schedule: up along a line (never 0), then down along a cosine to <c>minLr</c>.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="warmupIters">Steps until the full rate.</param>
/// <param name="lrDecayIters">Steps until the least rate.</param>
/// <param name="minLr">The least rate.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class NanoGptLR(Optimizer optimizer, int warmupIters, int lrDecayIters, double minLr = 0, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.NanoGpt(rate, minLr, warmupIters, lrDecayIters));

/// <summary>Warm-up, stable, decay (Hu et al. 2024): up along a line (never 0), constant, down to <c>minLr</c>.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="numWarmupSteps">Steps until the full rate.</param>
/// <param name="numStableSteps">Steps at the full rate.</param>
/// <param name="numDecaySteps">Steps down.</param>
/// <param name="minLr">The last rate.</param>
/// <param name="decayType"><c>"linear"</c>, <c>"cosine"</c> or <c>"1-sqrt"</c>.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class WarmupStableDecayLR(Optimizer optimizer, int numWarmupSteps, int numStableSteps, int numDecaySteps, double minLr = 0, string decayType = "1-sqrt", int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.WarmupStableDecay(decayType, rate, minLr, numWarmupSteps, numStableSteps, numDecaySteps));

/// <summary>Noam (Vaswani et al. 2017): rate * width^-1/2 * min(s^-1/2, s * warmup^-3/2), s = epoch + 1.</summary>
/// <param name="optimizer">Whose rates; they are factors here, 1 in the paper.</param>
/// <param name="modelSize">The width of the model.</param>
/// <param name="warmupSteps">Steps until the largest rate.</param>
/// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
public sealed class NoamLR(Optimizer optimizer, int modelSize, int warmupSteps, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.Noam(rate, modelSize, warmupSteps));
