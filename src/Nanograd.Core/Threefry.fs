namespace Nanograd

/// <summary>What Threefry is written in: words of 32 bits. An instance computes, emits vector IL, or prints OpenCL C.
/// </summary>
[<AbstractClass>]
type Words<'u>() =
    abstract Const: value: uint32 -> 'u
    /// Wraps around.
    abstract Add: x: 'u * y: 'u -> 'u
    abstract Xor: x: 'u * y: 'u -> 'u
    /// By a constant from 1 to 31: one instruction, or two shifts and an or.
    abstract RotateLeft: x: 'u * count: int -> 'u

/// <summary>Threefry2x32 with 20 rounds, the counter-based random bits of J. Salmon, M. Moraes, R. Dror and D. Shaw,
/// "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); same output as their library Random123.</summary>
/// <remarks>A random number is a function of a key and a position, so it fuses, batches and recomputes like any other
/// elementwise value, and does not depend on how many threads draw.</remarks>
[<RequireQualifiedAccess>]
module Threefry =

    /// A key: two words.
    type Key = (struct (uint32 * uint32))

    /// The rotation of each round, modulo 8; the key is added after every fourth round.
    let private rotations = [| 13; 15; 26; 6; 17; 29; 16; 24 |]

    let private rounds = 20

    /// The parity word of the key schedule, from Skein.
    let private parity = 0x1BD11BDAu

    /// <summary>The block cipher, from a key and a counter to two words: 72 operations, of which 20 are rotations, and
    /// 7 on the key alone.</summary>
    let block (a: Words<'u>) (struct (key0, key1): struct ('u * 'u)) (struct (counter0, counter1): struct ('u * 'u)) =
        let schedule = [| key0; key1; a.Xor(a.Xor(key0, key1), a.Const parity) |]
        let mutable x0 = a.Add(counter0, key0)
        let mutable x1 = a.Add(counter1, key1)
        for round = 1 to rounds do
            x0 <- a.Add(x0, x1)
            x1 <- a.Xor(a.RotateLeft(x1, rotations[(round - 1) % 8]), x0)
            if round % 4 = 0 then
                let turn = round / 4
                x0 <- a.Add(x0, schedule[turn % 3])
                x1 <- a.Add(x1, a.Add(schedule[(turn + 1) % 3], a.Const(uint32 turn)))
        struct (x0, x1)

    /// 32 random bits of a key at a position (low word first): the xor of the two words of the block.
    let bitsAt (a: Words<'u>) (key: struct ('u * 'u)) (position: struct ('u * 'u)) : 'u =
        let struct (x0, x1) = block a key position
        a.Xor(x0, x1)

    /// Words as the interpreter computes them.
    let scalar: Words<uint32> =
        { new Words<uint32>() with
            member _.Const value = value
            member _.Add(x, y) = x + y
            member _.Xor(x, y) = x ^^^ y
            member _.RotateLeft(x, count) = (x <<< count) ||| (x >>> (32 - count)) }

    /// 32 random bits of a key at a position.
    let bits (key: Key) (counter: uint64) : uint32 =
        bitsAt scalar key (struct (uint32 counter, uint32 (counter >>> 32)))

    /// <summary>The n-th key derived from a key.</summary>
    /// <remarks>It is the block at a counter whose high word is all ones. No tensor has elements at such positions, so
    /// one may both draw from a key and derive keys from it.</remarks>
    let fold (key: Key) (n: uint32) : Key = block scalar key (struct (n, System.UInt32.MaxValue))

    /// The first keys derived from a key; all different, since the block is a permutation of the counters.
    let split (key: Key) (count: int) : Key[] = Array.init count (fun n -> fold key (uint32 n))

    /// The key of a seed: the seed itself, low word first.
    let ofSeed (seed: uint64) : Key = struct (uint32 seed, uint32 (seed >>> 32))
