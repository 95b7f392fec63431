namespace Nanograd

/// Random numbers on the host as pure functions of a seed and two counters: nothing to save, nothing to restore.
[<RequireQualifiedAccess>]
module Counter =
    /// SplitMix64's output function (Steele, Lea and Flood 2014): a bijection of the 64-bit words that leaves no pattern.
    let private mix (x: uint64) =
        let x = (x ^^^ (x >>> 30)) * 0xBF58476D1CE4E5B9UL
        let x = (x ^^^ (x >>> 27)) * 0x94D049BB133111EBUL
        x ^^^ (x >>> 31)

    let private word (seed: int64) (stream: int64) (index: int64) =
        let step = 0x9E3779B97F4A7C15UL
        mix (mix (mix (uint64 seed + step) + uint64 stream * step + step) + uint64 index * step + step)

    /// 32 random bits.
    let bits (seed: int64) (stream: int64) (index: int64) : uint32 = uint32 (word seed stream index >>> 32)

    /// Uniform in [0, 1), with 53 random bits.
    let uniform (seed: int64) (stream: int64) (index: int64) : float = float (word seed stream index >>> 11) * System.Math.ScaleB(1.0, -53)

    /// A whole number in [0, limit).
    let below (limit: int64) (seed: int64) (stream: int64) (index: int64) : int64 =
        int64 (System.Math.BigMul(word seed stream index, uint64 limit) >>> 64)
