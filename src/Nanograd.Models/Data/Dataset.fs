namespace Nanograd

open System
open System.Collections.Generic
open System.Threading

/// Elements that are made when somebody asks for them: a length, and a function of the index.
[<NoComparison; NoEquality>]
type Dataset<'T> =
    {
        /// The number of elements.
        Length: int
        /// The element at an index. What is random about it (see `Dataset.augment`) is a function of the key.
        Get: Threefry.Key -> int -> 'T
    }

    /// The element at an index, as it is without a loader: under the key 0.
    member d.Item
        with get (index: int): 'T =
            if index < 0 || index >= d.Length then raise (IndexException("dataset", int64 index, d.Length))
            d.Get (Threefry.ofSeed 0UL) index

/// Data sets as values: everything here gives a new one and computes no element before it is asked for.
[<RequireQualifiedAccess>]
module Dataset =
    /// `length` elements, the i-th is `f i`. Loaders call `f` from several threads at once.
    let init (length: int) (f: int -> 'T) : Dataset<'T> =
        if length < 0 then raise (ShapeException("dataset", "the length must not be negative", string length, ""))
        { Length = length; Get = fun _ i -> f i }

    /// The elements of a sequence, which is read once, now.
    let ofSeq (elements: seq<'T>) : Dataset<'T> =
        let elements = Seq.toArray elements
        init elements.Length (fun i -> elements[i])

    /// The rows of a tree of tensors (a tensor, a tuple, a record, ...): element i is the same tree of parts `[i]` of the first axes,
    /// which have one extent. Expressions are evaluated now.
    let ofTensors (tree: 'T) : Dataset<'T> =
        let leaves = Program.evaluate (Tree.leaves tree)
        if leaves.Length = 0 then raise (ShapeException("dataset", "there must be a tensor", "a tree without any", ""))
        let isRow (t: Tensor) = t.Rank > 0 && t.Shape[0] = leaves[0].Shape[0]
        if leaves[0].Rank = 0 || not (Array.forall isRow leaves) then
            Shape.fail
                "dataset"
                "all tensors must have one first extent, the number of elements"
                ""
                (List.ofArray leaves)
        init leaves[0].Shape[0] (fun i -> Tree.rebuild tree (leaves |> Array.map (fun t -> Host.row t i)))

    /// `f` of each element, whenever it is asked for.
    let map (f: 'T -> 'U) (d: Dataset<'T>) : Dataset<'U> = { Length = d.Length; Get = fun key i -> f (d.Get key i) }

    /// As `map`, with randomness: a loader gives each element a key that depends on its seed, the epoch and the index, and on
    /// nothing else; so augmentation changes from epoch to epoch, and is the same for any number of workers.
    let augment (f: Threefry.Key -> 'T -> 'U) (d: Dataset<'T>) : Dataset<'U> =
        // Each layer of augmentation draws for itself.
        { Length = d.Length
          Get = fun key i -> f (Threefry.fold key 0u) (d.Get (Threefry.fold key 1u) i) }

    /// Chosen elements, in the given order; an index may occur more than once.
    let subset (indices: seq<int>) (d: Dataset<'T>) : Dataset<'T> =
        let indices = Seq.toArray indices
        for i in indices do
            if i < 0 || i >= d.Length then raise (IndexException("dataset.subset", int64 i, d.Length))
        { Length = indices.Length; Get = fun key i -> d.Get key indices[i] }

    let private range start count (d: Dataset<'T>) = { Length = count; Get = fun key i -> d.Get key (start + i) }

    /// The first `count` elements; all, if there are fewer.
    let take (count: int) (d: Dataset<'T>) : Dataset<'T> = range 0 (max 0 (min count d.Length)) d

    /// All but the first `count` elements.
    let skip (count: int) (d: Dataset<'T>) : Dataset<'T> =
        let start = max 0 (min count d.Length)
        range start (d.Length - start) d

    /// The elements that the predicate accepts. Every element is made once, now: how many there are must be known.
    let filter (predicate: 'T -> bool) (d: Dataset<'T>) : Dataset<'T> =
        subset (Seq.filter (fun i -> predicate d[i]) (seq { 0 .. d.Length - 1 }) |> Seq.toArray) d

    /// One data set after the other.
    let concat (parts: seq<Dataset<'T>>) : Dataset<'T> =
        let parts = Seq.toArray parts
        let lengths = parts |> Array.map (fun p -> int64 p.Length)
        let total = Array.sum lengths
        if total > int64 Int32.MaxValue then
            let got = String.Join(" + ", lengths)
            raise (ShapeException("dataset.concat", $"at most {Int32.MaxValue} elements in all", got, ""))
        let starts = Array.scan (+) 0 (parts |> Array.map (fun p -> p.Length))
        { Length = int total
          Get =
            fun key i ->
                let found = Array.BinarySearch(starts, i)
                // Empty parts start where the next one does: the last of equal starts is the part with the element.
                let mutable part = if found >= 0 then found else ~~~found - 1
                while starts[part + 1] <= i do
                    part <- part + 1
                parts[part].Get key (i - starts[part]) }

    /// Pairs of elements of two data sets of one length. Both sides get the same key: an image and its mask are augmented alike.
    let zip (a: Dataset<'T>) (b: Dataset<'U>) : Dataset<'T * 'U> =
        if a.Length <> b.Length then
            let got = $"{a.Length} and {b.Length} elements"
            raise (ShapeException("dataset.zip", "both must have one length", got, "take cuts the longer one"))
        { Length = a.Length; Get = fun key i -> a.Get key i, b.Get key i }

    /// The elements in another order, which the seed decides.
    let shuffle (seed: int64) (d: Dataset<'T>) : Dataset<'T> =
        subset (Host.permutation (Counter.key seed Host.Purpose.split 0L) d.Length) d

    /// Disjoint random parts of the given lengths, which add up to the whole.
    let randomSplitInto (seed: int64) (lengths: seq<int>) (d: Dataset<'T>) : Dataset<'T>[] =
        let lengths = Seq.toArray lengths
        let total = lengths |> Array.sumBy int64
        if Array.exists (fun n -> n < 0) lengths || total <> int64 d.Length then
            let got = String.Join(" + ", lengths)
            let wanted = $"lengths of 0 and more that add up to {d.Length}, the number of elements"
            raise (ShapeException("dataset.randomSplit", wanted, got, "fractions say it without counting"))
        let shuffled = shuffle seed d
        let starts = Array.scan (+) 0 lengths
        lengths |> Array.mapi (fun i n -> range starts[i] n shuffled)

    /// The lengths that fractions of a whole come to, as PyTorch counts: each rounded down, what is left over goes to the first
    /// parts, one element each.
    let internal lengthsOf (fractions: float[]) (whole: int) : int[] =
        let isShare x = x >= 0.0 && x <= 1.0
        if not (Array.forall isShare fractions) || abs (Array.sum fractions - 1.0) > 1e-6 then
            let got =
                String.Join(
                    ", ",
                    fractions |> Array.map (fun x -> x.ToString Globalization.CultureInfo.InvariantCulture)
                )
            raise (ShapeException("dataset.randomSplit", "fractions from 0 to 1 that add up to 1", got, ""))
        let floors = fractions |> Array.map (fun x -> int (Math.Floor(float whole * x + 1e-9)))
        let left = whole - Array.sum floors
        floors |> Array.mapi (fun i n -> n + left / floors.Length + (if i < left % floors.Length then 1 else 0))

    /// Disjoint random parts, a fraction of the whole each; the seed decides. `randomSplit 1L [ 0.8; 0.2 ]`.
    let randomSplit (seed: int64) (fractions: seq<float>) (d: Dataset<'T>) : Dataset<'T>[] =
        randomSplitInto seed (lengthsOf (Seq.toArray fractions) d.Length) d

    /// Each element is made once and kept. What comes before is no longer random: augment afterwards.
    let cache (d: Dataset<'T>) : Dataset<'T> =
        let made =
            Array.init d.Length (fun i -> Lazy<'T>((fun () -> d[i]), LazyThreadSafetyMode.ExecutionAndPublication))
        init d.Length (fun i -> made[i].Value)

    /// All elements, made now, one after the other.
    let toArray (d: Dataset<'T>) : 'T[] = Array.init d.Length (fun i -> d[i])

    /// The length, and the types and shapes of the first element's tensors:
    /// `60000 elements, the first: 0 f32[1,28,28], 1 i64[]`.
    let report (d: Dataset<'T>) : string =
        if d.Length = 0 then
            "0 elements"
        else
            let one (path: string, t: Tensor) = (if path = "" then "" else path + " ") + Shape.describe t
            let parts = String.Join(", ", Tree.named d[0] |> Array.map one)
            $"{d.Length} elements, the first: " + (if parts = "" then typeof<'T>.Name else parts)
