namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Reflection.Emit
open System.Threading
open Nanograd

/// A nest as machine code.
[<NoComparison; NoEquality>]
type internal CompiledNest =
    {
        /// Rows: some rows from end to end. Columns: the sums of the rows of one block.
        Code: NestCode
        /// Rows, where a result is larger than the caches: that argument goes past them, to addresses that must be multiples of 64.
        Stream: int -> NestCode
        /// Rows that only fold: one part of a row, and what is left to do when all parts are done.
        Part: Lazy<NestCode>
        Close: Lazy<NestCode>
        /// Columns: some more rows of the block.
        More: Lazy<NestCode>
        /// Columns: takes sums into others, and stores them.
        Merge: NestCode
        Finish: NestCode
        /// Elements that the inner loop takes at a time; 1 where the nest runs without vectors.
        Lanes: int
        /// Bytes of scratch memory that one call needs, for the length of the inner loop.
        Scratch: int64 -> int64
        /// True when rows may be cut into pieces: nothing is folded along them.
        Divisible: bool
        /// True when all that happens along rows is that they are folded, once.
        Foldable: bool
        /// How many reductions there are.
        Reductions: int
    }

/// Nests to machine code, once for each nest and vector width.
[<RequireQualifiedAccess>]
module internal NestCompiler =
    let private cache = ConcurrentDictionary<struct (string * int), CompiledNest>()
    let mutable private compiled = 0L

    /// Kernels made so far in this process.
    let count () = Interlocked.Read &compiled

    /// Every element operation of the nest, to see whether vectors can run it.
    let private elementCode (n: Nest) (passes: Passes) =
        let roots =
            [| for v in n.Values do
                   match v.Term with
                   | Term.Reduced(_, x) -> x
                   | _ -> ()
               for struct (a, v) in n.Stores do
                   if Passes.isElementStore n a then v |]
        let reach v =
            if n.Kind = NestKind.Rows && n.Values[v].Level = Level.PerRow then
                ValueSome(MicroOp.Row v)
            else
                match n.Values[v].Term with
                | Term.LoadAt(a, ls) when
                    ls |> Array.forall (fun l -> n.Values[l.Index].Level = Level.PerRow && passes.Stage[l.Index] = 0)
                    ->
                    ValueSome(MicroOp.Load a)
                | _ -> ValueNone
        let struct (code, _) = Micro.build n reach (Array.distinct roots)
        code

    /// Do all reductions of rows belong to the first pass, and is nothing else done there?
    let private isFoldable (n: Nest) (passes: Passes) =
        let folds =
            n.Values
            |> Array.choose (fun v ->
                match v.Term with
                | Term.Reduced(_, x) -> Some passes.Stage[x]
                | _ -> None)
        let storesElements = n.Stores |> Array.exists (fun struct (a, _) -> Passes.isElementStore n a)
        folds.Length > 0 && Array.forall ((=) 0) folds && not storesElements && passes.Saved.Count = 0

    let private make (n: Nest) (width: int) : CompiledNest =
        let passes = Passes.plan n
        let target: Target =
            match Vectors.laneSize (elementCode n passes) with
            | ValueSome lane -> VectorTarget(width, lane)
            | ValueNone -> ScalarTarget()
        let emitted (streamed: int) (emit: NestEmitter -> unit) =
            let m = DynamicMethod("nest", typeof<Void>, [| typeof<nativeint> |], typeof<Runtime>.Module, true)
            emit (NestEmitter(n, passes, m.GetILGenerator(), target, streamed))
            m.CreateDelegate<NestCode>()
        Interlocked.Increment &compiled |> ignore
        let reductions =
            n.Values
            |> Array.filter (fun v ->
                match v.Term with
                | Term.Reduced _ -> true
                | _ -> false)
            |> Array.length
        let saved = passes.Saved.Count
        let scratch (length: int64) =
            let blocks = (length + 4095L) / 4096L
            64L + 512L * int64 reductions + 64L * blocks * int64 reductions + 8L * (length + 32L) * int64 saved + 256L
        let streams = ConcurrentDictionary<int, NestCode>()
        let isRows = n.Kind = NestKind.Rows
        { Code = emitted -1 (if isRows then _.Rows(RowsRole.Whole) else _.Columns(true))
          Stream = fun argument -> streams.GetOrAdd(argument, (fun a -> emitted a _.Rows(RowsRole.Whole)))
          Part = lazy (emitted -1 _.Rows(RowsRole.Part))
          More = lazy (emitted -1 _.Columns(false))
          Close = lazy (emitted -1 _.Rows(RowsRole.Close))
          Merge = if isRows then null else emitted -1 _.Merge()
          Finish = if isRows then null else emitted -1 _.Finish()
          Lanes = target.Lanes
          Scratch = scratch
          Divisible = isRows && reductions = 0 && saved = 0
          Foldable = isRows && isFoldable n passes
          Reductions = reductions }

    /// The code of a nest under the current vector width.
    let get (n: Nest) : CompiledNest =
        let width = Isa.width ()
        cache.GetOrAdd(struct (Kernel.showNest n, width), (fun _ -> make n width))
