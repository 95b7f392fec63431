namespace Nanograd.Models

open System
open System.Collections.Generic
open System.Threading
open Nanograd

/// The batches of a loader.
[<Sealed>]
type BatchSource<'B> internal (loader: DataLoader<'B>) =
    /// Batches in an epoch.
    member _.Count = loader.Count
    /// The batches of an epoch.
    member _.Epoch(epoch: int, token: CancellationToken) : IEnumerable<'B> = loader.Epoch(epoch, token)

/// The options of a loader; what is null is not used.
[<Sealed; AllowNullLiteral>]
type LoadingOptions() =
    member val BatchSize = 1 with get, set
    member val Shuffle = false with get, set
    member val Seed = 0L with get, set
    member val DropLast = false with get, set
    member val Workers = 0 with get, set
    member val Prefetch = 2 with get, set
    /// The order of an epoch, of OrderLength indices.
    member val Order: Func<int, int[]> = null with get, set
    member val OrderLength = 0 with get, set
    /// The batches of an epoch, BatchCount of them.
    member val Batches: Func<int, int[][]> = null with get, set
    member val BatchCount = 0 with get, set

    member internal o.Options: LoaderOptions =
        { BatchSize = o.BatchSize
          Shuffle = o.Shuffle
          Seed = o.Seed
          DropLast = o.DropLast
          Workers = o.Workers
          Prefetch = o.Prefetch
          Sampler =
            (match o.Order with
             | null -> None
             | order -> Some { Length = o.OrderLength; Order = order.Invoke })
          Batches =
            match o.Batches with
            | null -> None
            | batches -> Some { Length = o.BatchCount; Batches = batches.Invoke } }

/// Orders of indices for samplers.
[<Sealed>]
type IndexOrder internal (sampler: Sampler) =
    /// Indices in an epoch.
    member _.Count = sampler.Length
    /// The indices of an epoch.
    member _.Of(epoch: int) : int[] = sampler.Order epoch

    static member Sequential(length: int) = IndexOrder(Sampler.sequential length)
    static member Random(seed: int64, length: int) = IndexOrder(Sampler.random seed length)
    static member WithReplacement(seed: int64, count: int, length: int) =
        IndexOrder(Sampler.withReplacement seed count length)
    static member Subset(seed: int64, indices: IEnumerable<int>) = IndexOrder(Sampler.subset seed indices)
    static member Weighted(seed: int64, count: int, weights: IEnumerable<float>, replacement: bool) =
        IndexOrder((if replacement then Sampler.weighted else Sampler.weightedOnce) seed count weights)

/// Loaders over elements of any type.
[<AbstractClass; Sealed>]
type Loading =
    /// A loader of `length` elements.
    static member Over
        (length: int, get: Func<struct (uint32 * uint32), int, 'T>, collate: Func<'T[], 'B>, options: LoadingOptions)
        : BatchSource<'B> =
        let d: Dataset<'T> = { Length = length; Get = fun key i -> get.Invoke(key, i) }
        BatchSource<'B>(DataLoader.createWith options.Options collate.Invoke d)

    /// A sequence in batches; one thread reads ahead.
    static member Stream
        (size: int, dropLast: bool, ahead: int, collate: Func<'T[], 'B>, elements: IEnumerable<'T>)
        : IEnumerable<'B> =
        DataLoader.stream size dropLast ahead collate.Invoke elements

    /// Tensors of one shape as one; `place` says what they are, in messages.
    static member Stack(place: string, parts: Tensor[]) : Tensor = Collate.tensors place parts

    /// Part `index` of the first axis of a value.
    static member Row(value: Tensor, index: int) : Tensor = Host.row value index

    /// Disjoint random parts of these lengths, as indices.
    static member Split(seed: int64, lengths: int[], length: int) : int[][] =
        Dataset.randomSplitInto seed lengths (Dataset.init length id) |> Array.map Dataset.toArray

    /// Disjoint random parts of these fractions, as indices.
    static member Split(seed: int64, fractions: float[], length: int) : int[][] =
        Dataset.randomSplit seed fractions (Dataset.init length id) |> Array.map Dataset.toArray

    /// mixup of a batch.
    static member Mixup(alpha: float, classes: int, key: struct (uint32 * uint32), x: Tensor, y: Tensor) =
        let x, y = Mix.mixup alpha classes key (x, y)
        struct (x, y)

    /// CutMix of a batch.
    static member Cutmix(alpha: float, classes: int, key: struct (uint32 * uint32), x: Tensor, y: Tensor) =
        let x, y = Mix.cutmix alpha classes key (x, y)
        struct (x, y)
