namespace Nanograd.Bench

open System
open Nanograd

/// What bounds a piece of work from below on any machine.
[<RequireQualifiedAccess>]
type Limit =
    /// Fused multiply-adds in registers.
    | Arithmetic
    /// Memory read and written: copying past the caches.
    | Copying
    /// Memory that is only read.
    | Reading
    /// Neither: the cost is that of many small steps.
    | Overhead

    /// How much of it a machine does in a second.
    member l.Of(machine: MachineLimits) : float option =
        match l with
        | Arithmetic -> Some machine.OperationsPerSecond
        | Copying -> Some machine.MemoryBytesPerSecond
        | Reading -> Some machine.ReadBytesPerSecond
        | Overhead -> None

/// A piece of work with its operands in place.
[<NoComparison; NoEquality>]
type Work =
    {
        /// What PyTorch gets to compute with. Emptied once it has been written, so that memory is not counted that only the exchange needs.
        mutable Operands: Tensor[]
        /// The first run, and what it gives; called once, before `Again`.
        First: unit -> Tensor[]
        /// Another run: what is timed.
        Again: unit -> unit
    }

/// A piece of work that PyTorch does too: `peer.py` has a function for each name, which takes the operands in order and
/// gives the results in order.
[<NoComparison; NoEquality>]
type Case =
    {
        Name: string
        Config: string
        Limit: Limit
        /// Floating-point operations of the products in it (2 m n k), elementwise work not counted; a step's backward
        /// pass counts twice its forward pass, without the gradient of the first layer's input.
        Flop: float
        /// Bytes that must move at least: every operand read once, every result written once.
        Bytes: float
        /// Threads of both sides; all processors where absent.
        Threads: int option
        /// Units of work in one run, where times are given for one unit.
        Units: int
        /// The largest error that rounding explains; see Compare.
        Tolerance: float
        /// Are the results those of a step of Adam: loss, parameters, first moments?
        IsAdam: bool
        Prepare: unit -> Work
    }

/// What cases are made with. Operands are functions of numbered keys: the same in every process.
module Make =
    let normal n shape = eval (Random.normal (Random.key n) shape)

    let uniform n shape = eval (Random.uniform (Random.key n) shape)

    /// Integers from 0 up to `limit`.
    let below limit n shape = eval (Random.uniform (Random.key n) shape * float limit |> floor |> cast DType.I64)

    let private case name config limit prepare =
        { Name = name
          Config = config
          Limit = limit
          Flop = 0.0
          Bytes = 0.0
          Threads = None
          Units = 1
          Tolerance = 1e-4
          IsAdam = false
          Prepare = prepare }

    /// Bounded by arithmetic.
    let arithmetic name config flop prepare = { case name config Limit.Arithmetic prepare with Flop = flop }

    /// Bounded by copying so many floats in and out.
    let copying name config floats prepare = { case name config Limit.Copying prepare with Bytes = 4.0 * floats }

    /// Bounded by reading so many floats.
    let reading name config floats prepare = { case name config Limit.Reading prepare with Bytes = 4.0 * floats }

    /// Bounded by nothing but the number of steps.
    let overhead name config prepare = case name config Limit.Overhead prepare

    let tolerating tolerance case = { case with Tolerance = tolerance }

    /// For steps of Adam: long sums in the gradients, updates of rounding noise in the parameters.
    let afterAdam case = { case with Tolerance = 1e-3; IsAdam = true }

    /// A compiled function of its operands.
    let ofFunction (f: 'A -> 'R) (operands: 'A) : Work =
        let run = jit f
        { Operands = Tree.leaves operands
          First = fun () -> Tree.leaves (run operands)
          Again = fun () -> run operands |> ignore }

    /// A compiled step that hands its state on, and what of a step's result is compared.
    let ofStep (step: 'S -> 'B -> 'S * 'R) (shown: 'S * 'R -> Tensor[]) (operands: Tensor[]) (start: 'S) (batch: 'B) =
        let run = jitDonate step
        let mutable state = start
        let next () =
            let later, result = run state batch
            state <- later
            later, result
        { Operands = operands
          First = fun () -> shown (next ())
          Again = fun () -> next () |> ignore }

    /// A training step on always the same batch. Compared are the loss, the gradients as the optimizer's first moments
    /// keep them, and the parameters after the update.
    let ofTraining (options: TrainOptions) (loss: 'P -> 'B -> Tensor) (parameters: 'P) (batch: 'B) : Work =
        let step = Train.step options (Objective.ofLoss (fun p _ b -> loss p b))
        let shown (state: TrainState<'P, unit>, value: Tensor) =
            let moments = state.Slots |> Array.truncate 1 |> Array.collect Tree.leaves
            Array.concat [ [| value |]; Tree.leaves state.Parameters; moments ]
        let operands = Array.append (Tree.leaves parameters) (Tree.leaves batch)
        ofStep step shown operands (Train.start options parameters ()) batch

    /// Adam with PyTorch's defaults: AdamW without decay, and no clipping.
    let adam =
        { Train.defaults with
            Method = Method.Of(Optim.adamW { Optim.adamWDefaults with WeightDecay = 0.0 })
            NanGuard = NanGuard.Off }

    /// A dense layer as PyTorch initialises it, number n of a case.
    let linear n inputs outputs = eval (Linear.init (Random.fold (Random.key 1L) n) inputs outputs true)
