namespace Nanograd

open System
open System.Threading

/// How a loader goes through a data set.
[<NoComparison; NoEquality>]
type LoaderOptions =
    {
        BatchSize: int
        /// Whether an epoch's order is random: a function of seed and epoch.
        Shuffle: bool
        /// What order and augmentation are functions of, with the epoch.
        Seed: int64
        /// Whether elements at the end that do not fill a batch are left out.
        DropLast: bool
        /// Threads that make batches; 0 makes them on the reader's thread, when they are read.
        Workers: int
        /// Batches that each worker may be ahead.
        Prefetch: int
        /// Another order than Shuffle's.
        Sampler: Sampler option
        /// Other batches than those of BatchSize, DropLast, Shuffle and Sampler.
        Batches: BatchSampler option
    }

/// Batches of a data set, epoch after epoch. Each epoch is a pure function of its number: it may be read again, and out of order.
[<Sealed>]
type DataLoader<'B>
    internal
    (
        options: LoaderOptions,
        batches: BatchSampler,
        /// Makes one batch: of an epoch, the number of the batch in it, and the indices with how often each came before.
        make: int -> int -> struct (int * int)[] -> (unit -> bool) -> 'B
    ) =
    /// Indices with the number of times that they occurred before in the epoch: what is drawn twice is augmented differently.
    let places (epoch: int) =
        let seen = Collections.Generic.Dictionary<int, int>()
        let place i =
            let mutable before = 0
            if seen.TryGetValue(i, &before) then
                seen[i] <- before + 1
                struct (i, before)
            else
                seen[i] <- 1
                struct (i, 0)
        batches.Batches epoch |> Array.map (Array.map place)

    member internal _.Options = options
    member internal _.Sampler = batches
    member internal _.Make = make

    /// The number of batches in an epoch.
    member _.Count = batches.Length

    /// The indices that each batch of an epoch holds.
    member _.Indices(epoch: int) : int[][] = batches.Batches epoch

    /// The batches of an epoch, in order, whatever the number of workers. Threads run while somebody enumerates; they end with the last
    /// batch, an error, or when the enumeration is left. An error names the element; batches before it come first.
    member _.Epoch(epoch: int, token: CancellationToken) : seq<'B> =
        Seq.delay (fun () ->
            let places = places epoch
            let job isStopped number = make epoch number places[number] isStopped
            Prefetch.ordered options.Workers (options.Workers * max 1 options.Prefetch) places.Length job token)

    /// The batches of an epoch, in order, whatever the number of workers.
    member loader.Epoch(epoch: int) : seq<'B> = loader.Epoch(epoch, CancellationToken.None)

/// Loaders: from data sets to batches.
[<RequireQualifiedAccess>]
module DataLoader =
    /// One element a batch, in order, on the reader's thread.
    let defaults: LoaderOptions =
        { BatchSize = 1
          Shuffle = false
          Seed = 0L
          DropLast = false
          Workers = 0
          Prefetch = 2
          Sampler = None
          Batches = None }

    let private fail what got hint : 'a = raise (ShapeException("loader", what, got, hint))

    let private batchesOf (options: LoaderOptions) (length: int) : BatchSampler =
        if options.Workers < 0 then fail "the number of workers must not be negative" (string options.Workers) ""
        match options.Batches, options.Sampler with
        | Some batches, None when not options.Shuffle -> batches
        | Some _, _ -> fail "batches exclude shuffle and sampler" "both" "let the batch sampler decide the order"
        | None, Some _ when options.Shuffle -> fail "a sampler excludes shuffle" "both" "take Sampler.random"
        | None, Some sampler -> BatchSampler.ofSampler options.BatchSize options.DropLast sampler
        | None, None ->
            let sampler = if options.Shuffle then Sampler.random options.Seed length else Sampler.sequential length
            BatchSampler.ofSampler options.BatchSize options.DropLast sampler

    /// An error of one element or batch, with its place; the cause is the inner exception.
    let private failed (what: string) (index: int) (cause: exn) : 'a =
        let error = InvalidOperationException($"The data loader could not make {what}: {cause.Message}", cause)
        error.Data["Index"] <- index
        raise error

    let private element (d: Dataset<'T>) (key: Threefry.Key) (struct (index, before): struct (int * int)) : 'T =
        if index < 0 || index >= d.Length then raise (IndexException("loader", int64 index, d.Length))
        try
            d.Get (Threefry.fold (Threefry.fold key (uint32 index)) (uint32 before)) index
        with
        | :? OperationCanceledException -> reraise ()
        | e -> failed $"element {index}" index e

    /// A loader whose batches are what `collate` makes of their elements.
    let createWith (options: LoaderOptions) (collate: 'T[] -> 'B) (d: Dataset<'T>) : DataLoader<'B> =
        let make epoch number (places: struct (int * int)[]) isStopped =
            if places.Length = 0 then fail "a batch must have an element" $"an empty batch {number} in epoch {epoch}" ""
            let key = Counter.key options.Seed Host.Purpose.sample (int64 epoch)
            let elements =
                places
                |> Array.map (fun place ->
                    if isStopped () then raise (OperationCanceledException())
                    element d key place)
            try
                collate elements
            with e ->
                let struct (first, _) = places[0]
                failed $"batch {number} (element {first} and {places.Length - 1} more)" first e
        DataLoader<'B>(options, batchesOf options d.Length, make)

    /// A loader that stacks: the elements are trees of tensors, and so are the batches (`Collate.stack`).
    let create (options: LoaderOptions) (d: Dataset<'T>) : DataLoader<'T> = createWith options Collate.stack d

    /// `f` of each batch, computed by the workers, with a key that depends on seed, epoch and number of the batch: for mixup and cutmix.
    let augment (f: Threefry.Key -> 'B -> 'C) (loader: DataLoader<'B>) : DataLoader<'C> =
        let make epoch number places isStopped =
            let key = Counter.key loader.Options.Seed Host.Purpose.batch (int64 epoch)
            f (Threefry.fold key (uint32 number)) (loader.Make epoch number places isStopped)
        DataLoader<'C>(loader.Options, loader.Sampler, make)

    /// `f` of each batch, computed by the workers.
    let map (f: 'B -> 'C) (loader: DataLoader<'B>) : DataLoader<'C> = augment (fun _ batch -> f batch) loader

    /// A sequence in batches, in its order, as a stream that is read once; `ahead` batches are made by a thread before they are asked for
    /// (0: none). Left before its end, it leaves no thread behind.
    let stream (size: int) (dropLast: bool) (ahead: int) (collate: 'T[] -> 'B) (elements: seq<'T>) : seq<'B> =
        if size < 1 then fail "the batch size must be at least 1" (string size) ""
        let batches =
            elements |> Seq.chunkBySize size |> Seq.filter (fun b -> b.Length = size || not dropLast) |> Seq.map collate
        if ahead > 0 then Prefetch.behind ahead batches else batches
