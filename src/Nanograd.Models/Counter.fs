namespace Nanograd

open System

/// Random numbers on the host as pure functions of a seed, a purpose, a number (a step, a story) and an index:
/// nothing to save, nothing to restore. The bits are Threefry's, as those of tensors.
[<RequireQualifiedAccess>]
module Counter =
    /// What the numbers are for: the same seed gives each purpose numbers of its own.
    let internal stories = 1u
    let internal batches = 2u
    let internal tokens = 3u

    /// The key of one series of numbers.
    let key (seed: int64) (purpose: uint32) (number: int64) : Threefry.Key =
        let number = uint64 number
        Threefry.block
            Threefry.scalar
            (Threefry.fold (Threefry.ofSeed (uint64 seed)) purpose)
            (struct (uint32 number, uint32 (number >>> 32)))

    let private word (key: Threefry.Key) (index: int) =
        let struct (low, high) = Threefry.block Threefry.scalar key (struct (uint32 index, 0u))
        (uint64 high <<< 32) ||| uint64 low

    /// 32 random bits.
    let bits (key: Threefry.Key) (index: int) : uint32 = uint32 (word key index)

    /// Uniform in [0, 1), with 53 random bits.
    let uniform (key: Threefry.Key) (index: int) : float = float (word key index >>> 11) * Math.ScaleB(1.0, -53)

    /// A whole number in [0, limit).
    let below (limit: int64) (key: Threefry.Key) (index: int) : int64 =
        int64 (Math.BigMul(word key index, uint64 limit) >>> 64)
