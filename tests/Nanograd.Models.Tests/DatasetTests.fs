module Nanograd.Models.Tests.DatasetTests

open System
open System.Collections.Generic
open System.Threading
open NUnit.Framework
open Nanograd

let private key = Threefry.ofSeed 7UL
let private scalarOf (i: int) = ofArray DType.I64 [||] [| int64 i |]
let private ints (t: Tensor) = toArray<int64> t |> Array.map int

/// A data set of its own indices.
let private numbers n = Dataset.init n scalarOf

/// Random sizes of everything.
let private cases =
    [ for seed in 0..39 ->
          let r = Random seed
          seed, r.Next(0, 60), r.Next(1, 9), r.Next(0, 5), r.Next 2 = 1 ]

// ---- data sets

[<Test>]
let ``map, concat, subset, take, skip, zip and filter are those of arrays`` () =
    for seed, n, m, _, _ in cases do
        let r = Random seed
        let a, b = Array.init n (fun i -> i * 3), Array.init m (fun i -> 1000 + i)
        let d, e = Dataset.ofSeq a, Dataset.ofSeq b
        let same (expected: 'a[]) (actual: Dataset<'a>) = Assert.That(Dataset.toArray actual, equalTo expected)
        same (Array.map string a) (Dataset.map string d)
        same (Array.concat [ a; [||]; b; a ]) (Dataset.concat [ d; Dataset.ofSeq []; e; d ])
        same (Array.truncate m a) (Dataset.take m d)
        same (Array.skip (min m n) a) (Dataset.skip m d)
        same (Array.filter (fun x -> x % 2 = 0) a) (Dataset.filter (fun x -> x % 2 = 0) d)
        same (Array.zip a a) (Dataset.zip d d)
        let chosen = Array.init m (fun _ -> r.Next m)
        same (chosen |> Array.map (fun i -> b[i])) (Dataset.subset chosen e)

[<Test>]
let ``a random split is a partition, the same for the same seed`` () =
    for seed, n, m, _, _ in cases do
        let r = Random seed
        let cuts = Array.init (m - 1) (fun _ -> r.Next(n + 1)) |> Array.sort
        let lengths = Array.map2 (-) (Array.append cuts [| n |]) (Array.append [| 0 |] cuts)
        let split s = Dataset.randomSplitInto s lengths (Dataset.init n id) |> Array.map Dataset.toArray
        let parts = split (int64 seed)
        Assert.That(parts |> Array.map Array.length, equalTo lengths)
        Assert.That(Array.concat parts |> Array.sort, equalTo [| 0 .. n - 1 |])
        Assert.That(split (int64 seed), equalTo parts)
        if n > 20 then Assert.That(Array.concat (split (int64 seed + 1L)), notEqualTo (Array.concat parts))

[<Test>]
let ``fractions are rounded down, and the first parts get what is left`` () =
    let lengths fractions n =
        Dataset.randomSplit 1L fractions (Dataset.init n id) |> Array.map (fun d -> d.Length) |> Array.toList
    Assert.That(lengths [ 0.8; 0.2 ] 10, equalTo [ 8; 2 ])
    Assert.That(lengths [ 0.3; 0.3; 0.4 ] 11, equalTo [ 4; 3; 4 ]) // as torch.utils.data.random_split
    Assert.That(lengths [ 0.5; 0.5 ] 7, equalTo [ 4; 3 ])
    Assert.That(lengths [ 1.0 ] 0, equalTo [ 0 ])
    Assert.That(lengths [ 0.1; 0.2; 0.7 ] 1797, equalTo [ 180; 360; 1257 ])

[<Test>]
let ``rows of tensors come back as they went in`` () =
    let x, y = arange DType.F32 12 |> reshape [| 4; 3 |], arange DType.I64 4
    let d = Dataset.ofTensors (x, y)
    Assert.That(d.Length, equalTo 4)
    let row, label = d[2]
    Assert.That(floats row, equalTo [| 6.0; 7.0; 8.0 |])
    Assert.That(label.Shape, Is.Empty)
    Assert.That(item label, equalTo 2.0)
    let together, labels = Collate.stack (Dataset.toArray d)
    Assert.That(floats together, equalTo (floats x))
    Assert.That(ints labels, equalTo [| 0..3 |])
    Assert.That(Dataset.report d, equalTo "4 elements, the first: 0 f32[3], 1 i64[]")

[<Test>]
let ``a cached element is made once, by whichever thread`` () =
    let made = ref 0
    let slow i =
        Interlocked.Increment made |> ignore
        Thread.Sleep 1
        i
    let d = Dataset.init 10 slow |> Dataset.cache
    let threads = Array.init 4 (fun _ -> Thread(fun () -> Dataset.toArray d |> ignore))
    threads |> Array.iter (fun t -> t.Start())
    threads |> Array.iter (fun t -> t.Join())
    Assert.That(made.Value, equalTo 10)

[<Test>]
let ``mistakes with data sets are errors that say so`` () =
    let d = Dataset.init 5 id
    raises<IndexException> [ "dataset"; "5" ] (fun () -> d[5] |> ignore)
    raises<IndexException> [ "subset" ] (fun () -> Dataset.subset [ -1 ] d |> ignore)
    raises<ShapeException> [ "one length"; "5 and 4" ] (fun () -> Dataset.zip d (Dataset.take 4 d) |> ignore)
    raises<ShapeException> [ "add up to 5"; "3 + 3" ] (fun () -> Dataset.randomSplitInto 1L [ 3; 3 ] d |> ignore)
    raises<ShapeException> [ "add up to 1"; "0.5, 0.4" ] (fun () -> Dataset.randomSplit 1L [ 0.5; 0.4 ] d |> ignore)
    raises<ShapeException> [ "one first extent" ] (fun () ->
        Dataset.ofTensors (zeros [| 3; 2 |], zeros [| 4 |]) |> ignore)

// ---- samplers

[<Test>]
let ``random orders visit every index once, another order each epoch`` () =
    for seed, n, _, epoch, _ in cases do
        let sampler = Sampler.random (int64 seed) n
        let order = sampler.Order epoch
        Assert.That(Array.sort order, equalTo [| 0 .. n - 1 |])
        Assert.That(sampler.Order epoch, equalTo order)
        if n > 20 then Assert.That(sampler.Order(epoch + 1), Is.Not.EqualTo order)

[<Test>]
let ``all orders of three are equally likely`` () =
    let sampler = Sampler.random 5L 3
    let counts = [| 0..5999 |] |> Array.countBy (fun epoch -> String.Join(",", sampler.Order epoch)) |> Array.map snd
    Assert.That(counts.Length, equalTo 6)
    for count in counts do
        Assert.That(count, Is.InRange(850, 1150)) // 1000 +- 5 deviations

[<Test>]
let ``weighted draws follow the weights`` () =
    let weights = [ 1.0; 0.0; 3.0; 6.0 ]
    let counts = (Sampler.weighted 3L 20000 weights).Order 0 |> Array.countBy id |> dict
    Assert.That(counts.ContainsKey 1, Is.False)
    for i, share in [ 0, 0.1; 2, 0.3; 3, 0.6 ] do
        Assert.That(float counts[i] / 20000.0, Is.EqualTo(share).Within 0.015)

[<Test>]
let ``weighted draws without replacement take each index once, heavy ones first`` () =
    let sampler = Sampler.weightedOnce 3L 3 [ 1.0; 0.0; 3.0; 6.0 ]
    let firsts = [| 0..9999 |] |> Array.map (fun epoch -> sampler.Order epoch)
    for order in firsts do
        Assert.That(Array.sort order, equalTo [| 0; 2; 3 |])
    let share i = float (firsts |> Array.filter (fun o -> o[0] = i) |> Array.length) / 10000.0
    Assert.That(share 3, Is.EqualTo(0.6).Within 0.02)
    Assert.That(share 2, Is.EqualTo(0.3).Within 0.02)
    raises<ShapeException> [ "enough weights"; "3 for 4 draws" ] (fun () ->
        Sampler.weightedOnce 3L 4 [ 1.0; 0.0; 3.0; 6.0 ] |> ignore)
    raises<ShapeException> [ "not negative" ] (fun () -> Sampler.weighted 3L 4 [ -1.0 ] |> ignore)

// ---- loaders

/// Noise that depends on the key: augmentation that shows in the values.
let private noisy n =
    numbers n |> Dataset.augment (fun key t -> t, ofArray DType.I64 [||] [| int64 (Counter.bits key 0) |])

[<Test>]
let ``an epoch has every element once, in the same batches for 0 to 4 workers`` () =
    for seed, n, size, epoch, dropLast in cases do
        let read workers =
            let options =
                { DataLoader.defaults with
                    BatchSize = size
                    Shuffle = true
                    Seed = int64 seed
                    DropLast = dropLast
                    Workers = workers
                    Prefetch = 1 + seed % 3 }
            let loader = DataLoader.create options (noisy n)
            let batches = loader.Epoch epoch |> Seq.toArray
            Assert.That(batches.Length, equalTo loader.Count)
            batches |> Array.map (fun (x, noise) -> ints x, toArray<int64> noise)
        let batches = read 0
        let seen = batches |> Array.collect fst
        let whole = if dropLast then n / size * size else n
        Assert.That(seen.Length, equalTo whole)
        Assert.That(Array.distinct seen |> Array.length, equalTo whole)
        batches
        |> Array.iteri (fun i (x, _) -> if dropLast || i < batches.Length - 1 then Assert.That(x.Length, equalTo size))
        for workers in 1..4 do
            Assert.That(read workers, equalTo batches)

[<Test>]
let ``augmentation depends on seed, epoch and index, not on the order`` () =
    let read seed shuffle epoch =
        let options = { DataLoader.defaults with BatchSize = 7; Shuffle = shuffle; Seed = seed }
        (DataLoader.create options (noisy 50)).Epoch epoch
        |> Seq.collect (fun (x, noise) -> Array.zip (ints x) (toArray<int64> noise))
        |> Seq.sort
        |> Seq.toArray
    Assert.That(read 1L true 0, equalTo (read 1L false 0))
    let differs a b = Array.forall2 (fun (_, x) (_, y) -> x <> y) a b
    Assert.That(differs (read 1L true 0) (read 1L true 1))
    Assert.That(differs (read 1L true 0) (read 2L true 0))
    Assert.That(read 1L true 0 |> Array.map snd |> Array.distinct |> Array.length, equalTo 50)

[<Test>]
let ``what is drawn twice is augmented differently`` () =
    let options =
        { DataLoader.defaults with
            BatchSize = 20
            Sampler = Some(Sampler.withReplacement 1L 20 3) }
    let x, noise = (DataLoader.create options (noisy 3)).Epoch 0 |> Seq.exactlyOne
    Assert.That(Array.distinct (toArray<int64> noise) |> Array.length, equalTo 20)
    Assert.That(ints x |> Array.forall (fun i -> i < 3))

[<Test>]
let ``layers of augmentation draw for themselves`` () =
    let draw key (xs: uint32 list) = Counter.bits key 0 :: xs
    let d = Dataset.init 3 (fun _ -> []) |> Dataset.augment draw |> Dataset.augment draw |> Dataset.augment draw
    Assert.That(d.Get key 0 |> List.distinct |> List.length, equalTo 3)
    let a, b = (Dataset.zip d d).Get key 1 // an image and its mask
    Assert.That((a = b))

[<Test>]
let ``an error names the element, after all batches before it`` () =
    let fragile = Dataset.init 20 (fun i -> if i = 13 then failwith "the file is gone" else scalarOf i)
    for workers in 0..4 do
        let loader = DataLoader.create { DataLoader.defaults with BatchSize = 4; Workers = workers } fragile
        let seen = List<int>()
        let error =
            Assert.Throws<InvalidOperationException>(fun () ->
                for batch in loader.Epoch 0 do
                    seen.AddRange(ints batch))
        Assert.That(error.Message, equalTo "The data loader could not make element 13: the file is gone")
        Assert.That(error.Data["Index"], equalTo 13)
        Assert.That(error.InnerException.Message, equalTo "the file is gone")
        Assert.That(seen, equalTo [ 0..11 ])

/// Threads that elements were made on.
let private watched n =
    let threads = HashSet<Thread>()
    let make i =
        lock threads (fun () -> threads.Add Thread.CurrentThread |> ignore)
        scalarOf i
    Dataset.init n make, threads

[<Test>]
let ``no thread is left when an epoch ends, is left early or fails`` () =
    let options = { DataLoader.defaults with BatchSize = 2; Workers = 3 }
    let check run =
        let d, threads = watched 1000
        run (DataLoader.create options d)
        Assert.That(threads, Is.Not.Empty)
        Assert.That(threads |> Seq.exists (fun t -> t.IsAlive), Is.False)
        Assert.That(threads.Contains Thread.CurrentThread, Is.False)
        Assert.That(threads.Count, Is.LessThanOrEqualTo 3)
    check (fun loader -> loader.Epoch 0 |> Seq.iter ignore)
    check (fun loader -> loader.Epoch 0 |> Seq.truncate 3 |> Seq.iter ignore)
    check (fun loader ->
        try
            for _ in loader.Epoch 0 do
                failwith "enough"
        with _ ->
            ())

[<Test>]
let ``workers are a bounded number of batches ahead`` () =
    let made = ref 0
    let d =
        Dataset.init 1000 (fun i ->
            Interlocked.Increment made |> ignore
            scalarOf i)
    let options = { DataLoader.defaults with BatchSize = 1; Workers = 2; Prefetch = 3 }
    use batches = (DataLoader.create options d).Epoch(0).GetEnumerator()
    batches.MoveNext() |> ignore
    Thread.Sleep 100
    Assert.That(made.Value, Is.LessThanOrEqualTo 7) // one read, six waiting

[<Test>]
let ``cancelling ends an epoch`` () =
    for workers in [ 0; 2 ] do
        use source = new CancellationTokenSource()
        let d, threads = watched 100000
        let loader = DataLoader.create { DataLoader.defaults with Workers = workers } d
        let read () = loader.Epoch(0, source.Token) |> Seq.iteri (fun i _ -> if i = 5 then source.Cancel())
        Assert.Throws<OperationCanceledException>(Action read) |> ignore
        Assert.That(threads |> Seq.exists (fun t -> t.IsAlive && t <> Thread.CurrentThread), Is.False)

[<Test>]
let ``an epoch may be read twice, by two readers at once`` () =
    let loader = DataLoader.create { DataLoader.defaults with BatchSize = 3; Shuffle = true; Workers = 2 } (noisy 31)
    let epoch = loader.Epoch 4
    let pairs = Seq.zip epoch epoch |> Seq.toArray
    Assert.That(pairs.Length, equalTo 11)
    for (x, a), (y, b) in pairs do
        Assert.That(ints x, equalTo (ints y))
        Assert.That(toArray<int64> a, equalTo (toArray<int64> b))

[<Test>]
let ``expressions of elements are computed by the workers`` () =
    let d = Dataset.init 200 (fun i -> sin (full DType.F32 [| 5 |] (float i)) * 2.0)
    let read workers =
        (DataLoader.create { DataLoader.defaults with BatchSize = 16; Workers = workers } d).Epoch 0
        |> Seq.map toArray<float32>
        |> Seq.toArray
    Assert.That(read 4, equalTo (read 0))

[<NoComparison>]
type private Sample = { Image: Tensor; Boxes: Tensor list; Label: Tensor option }

[<Test>]
let ``trees of tensors stack to trees`` () =
    let sample i =
        { Image = full DType.F32 [| 2; 2 |] (float i)
          Boxes = [ scalarOf i; scalarOf (-i) ]
          Label = Some(scalarOf (10 * i)) }
    let batch = Collate.stack (Array.init 3 sample)
    Assert.That(batch.Image.Shape, equalTo [| 3; 2; 2 |])
    Assert.That(ints batch.Boxes[1], equalTo [| 0; -1; -2 |])
    Assert.That(ints batch.Label.Value, equalTo [| 0; 10; 20 |])
    let x, y = Collate.labelled [| zeros [| 4 |], 3; ones [| 4 |], 1 |]
    Assert.That(x.Shape, equalTo [| 2; 4 |])
    Assert.That(ints y, equalTo [| 3; 1 |])
    let padded, lengths = Collate.padded -1.0 [| ones [| 1; 2 |]; ones [| 3; 2 |] |]
    Assert.That(floats padded, equalTo [| 1.; 1.; -1.; -1.; -1.; -1.; 1.; 1.; 1.; 1.; 1.; 1. |])
    Assert.That(ints lengths, equalTo [| 1; 3 |])

[<Test>]
let ``what cannot be stacked is an error that names the place`` () =
    raises<ShapeException> [ "'1'"; "f32[3]"; "f32[4] as number 2" ] (fun () ->
        [| 3; 3; 4 |] |> Array.map (fun n -> scalarOf n, zeros [| n |]) |> Collate.stack |> ignore)
    raises<ShapeException> [ "numbers and texts are structure" ] (fun () ->
        Collate.stack [| zeros [| 1 |], 1; zeros [| 1 |], 2 |] |> ignore)
    raises<ShapeException> [ "a tensor to stack" ] (fun () -> Collate.stack [| 1; 1 |] |> ignore)
    let uneven = Dataset.init 8 (fun i -> zeros [| (if i = 6 then 3 else 2) |])
    let loader = DataLoader.create { DataLoader.defaults with BatchSize = 4; Workers = 1 } uneven
    raises<InvalidOperationException> [ "batch 1 (element 4 and 3 more)"; "f32[3] as number 2" ] (fun () ->
        loader.Epoch 0 |> Seq.iter ignore)

[<Test>]
let ``options that make no sense are errors`` () =
    let load options = DataLoader.create options (numbers 5) |> ignore
    raises<ShapeException> [ "batch size"; "0" ] (fun () -> load { DataLoader.defaults with BatchSize = 0 })
    raises<ShapeException> [ "workers" ] (fun () -> load { DataLoader.defaults with Workers = -1 })
    raises<ShapeException> [ "excludes shuffle" ] (fun () ->
        load
            { DataLoader.defaults with
                Shuffle = true
                Sampler = Some(Sampler.sequential 5) })
    let wrong = { DataLoader.defaults with Sampler = Some(Sampler.sequential 6) }
    raises<IndexException> [ "5" ] (fun () -> (DataLoader.create wrong (numbers 5)).Epoch 0 |> Seq.iter ignore)

[<Test>]
let ``batches of one's own are taken as they are`` () =
    let batches: BatchSampler = { Length = 2; Batches = fun epoch -> [| [| 1; epoch |]; [| 4 |] |] }
    let loader = DataLoader.create { DataLoader.defaults with Batches = Some batches } (numbers 5)
    Assert.That(loader.Epoch 3 |> Seq.map ints |> Seq.toArray, equalTo [| [| 1; 3 |]; [| 4 |] |])
    raises<ShapeException> [ "must have an element"; "an empty batch 0" ] (fun () ->
        let empty: BatchSampler = { Length = 1; Batches = fun _ -> [| [||] |] }
        let loader = DataLoader.create { DataLoader.defaults with Batches = Some empty } (numbers 5)
        loader.Epoch 0 |> Seq.iter ignore)

[<Test>]
let ``a stream in batches, with a thread ahead or without`` () =
    for ahead in [ 0; 1; 3 ] do
        let read = DataLoader.stream 4 false ahead Collate.none (seq { 0..9 }) |> Seq.toArray
        Assert.That(read, equalTo [| [| 0..3 |]; [| 4..7 |]; [| 8; 9 |] |])
        let isOver = ref false
        let endless =
            seq {
                try
                    let mutable i = 0
                    while true do
                        yield i
                        i <- i + 1
                finally
                    isOver.Value <- true
            }
        let some = DataLoader.stream 2 true ahead Collate.none endless |> Seq.truncate 2 |> Seq.toArray
        Assert.That(some, equalTo [| [| 0; 1 |]; [| 2; 3 |] |])
        Assert.That(isOver.Value)
    raises<exn> [ "broken" ] (fun () ->
        DataLoader.stream 2 false 2 Collate.none (Seq.init 9 (fun i -> if i = 5 then failwith "broken" else i))
        |> Seq.iter ignore)
