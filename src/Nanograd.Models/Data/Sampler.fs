namespace Nanograd

open System

/// Which elements an epoch visits, and in which order: a pure function of the number of the epoch.
[<NoComparison; NoEquality>]
type Sampler =
    {
        /// How many elements an epoch has.
        Length: int
        /// The indices of an epoch.
        Order: int -> int[]
    }

/// Orders of elements.
[<RequireQualifiedAccess>]
module Sampler =
    let private fail what got hint : 'a = raise (ShapeException("sampler", what, got, hint))

    /// 0, 1, ..., length - 1.
    let sequential (length: int) : Sampler = { Length = length; Order = fun _ -> Array.init length id }

    /// Every index once, in an order that seed and epoch decide.
    let random (seed: int64) (length: int) : Sampler =
        { Length = length
          Order = fun epoch -> Host.permutation (Counter.key seed Host.Purpose.shuffle (int64 epoch)) length }

    /// `count` indices, each uniform among all, independent of the others.
    let withReplacement (seed: int64) (count: int) (length: int) : Sampler =
        if length < 1 && count > 0 then fail "there must be something to draw from" "0 elements" ""
        let draw epoch = Counter.below (int64 length) (Counter.key seed Host.Purpose.shuffle (int64 epoch))
        { Length = count; Order = fun epoch -> Array.init count (draw epoch >> int) }

    /// The given indices, each once, in an order that seed and epoch decide.
    let subset (seed: int64) (indices: seq<int>) : Sampler =
        let indices = Seq.toArray indices
        let all = random seed indices.Length
        { Length = indices.Length
          Order = fun epoch -> all.Order epoch |> Array.map (fun i -> indices[i]) }

    let private checkWeights (weights: float[]) =
        weights
        |> Array.iteri (fun i w ->
            if not (w >= 0.0 && Double.IsFinite w) then
                fail "weights must be finite and not negative" $"{w} as weight {i}" "")
        if not (Array.exists (fun w -> w > 0.0) weights) then
            fail "some weight must be above 0" $"{weights.Length} weights without one" ""

    /// `count` indices drawn independently, index i with probability proportional to weights[i].
    let weighted (seed: int64) (count: int) (weights: seq<float>) : Sampler =
        let weights = Seq.toArray weights
        checkWeights weights
        let sums = Array.scan (+) 0.0 weights
        let total = sums[weights.Length]
        let last = Array.FindLastIndex(weights, (fun w -> w > 0.0))
        /// The index whose stretch of [0, total) holds u; rounding may put u at the end of the last one.
        let find (u: float) =
            let found = Array.BinarySearch(sums, u)
            let mutable i = if found >= 0 then found else ~~~found - 1
            while i < last && sums[i + 1] <= u do
                i <- i + 1
            min i last
        let draw epoch =
            let key = Counter.key seed Host.Purpose.weights (int64 epoch)
            fun i -> find (Counter.uniform key i * total)
        { Length = count; Order = fun epoch -> Array.init count (draw epoch) }

    /// `count` different indices, drawn one after the other with probabilities proportional to the weights of those that are left
    /// (Efraimidis and Spirakis 2006: the smallest of exponential waiting times with these rates).
    let weightedOnce (seed: int64) (count: int) (weights: seq<float>) : Sampler =
        let weights = Seq.toArray weights
        checkWeights weights
        let candidates = [| 0 .. weights.Length - 1 |] |> Array.filter (fun i -> weights[i] > 0.0)
        if count > candidates.Length then
            fail "without replacement there must be enough weights above 0" $"{candidates.Length} for {count} draws" ""
        let order epoch =
            let key = Counter.key seed Host.Purpose.weights (int64 epoch)
            let wait i = -Math.Log(1.0 - Counter.uniform key i) / weights[i]
            candidates |> Array.sortBy wait |> Array.truncate count
        { Length = count; Order = order }

/// The batches of an epoch, as indices.
[<NoComparison; NoEquality>]
type BatchSampler =
    {
        /// How many batches an epoch has.
        Length: int
        /// The batches of an epoch.
        Batches: int -> int[][]
    }

/// Ways to cut an order into batches.
[<RequireQualifiedAccess>]
module BatchSampler =
    /// `size` indices a batch; what is left over at the end is a smaller batch, or dropped.
    let ofSampler (size: int) (dropLast: bool) (sampler: Sampler) : BatchSampler =
        if size < 1 then raise (ShapeException("loader", "the batch size must be at least 1", string size, ""))
        let count = if dropLast then sampler.Length / size else (sampler.Length + size - 1) / size
        { Length = count
          Batches = fun epoch -> sampler.Order epoch |> Array.chunkBySize size |> Array.truncate count }
