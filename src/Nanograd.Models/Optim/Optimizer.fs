namespace Nanograd

open System

/// What an optimizer may know besides parameters and gradients. All are tensors, so that one compiled step serves
/// every step.
[<NoComparison>]
type UpdateContext =
    {
        /// How many updates were done before this one: an integer scalar.
        Step: Tensor
        /// The learning rate: a float scalar.
        Rate: Tensor
        /// Where momentum moves as the rate does (`Schedulers.oneCycle`): SGD's momentum or Adam's first beta, a float
        /// scalar, instead of the number in the options.
        Momentum: Tensor option
    }

    /// The context of an update with the momentum of the options.
    static member Of(step: Tensor, rate: Tensor) : UpdateContext = { Step = step; Rate = rate; Momentum = None }

/// The state of an optimizer: for each of its slots, one tensor of any shape per parameter, or none where a parameter
/// needs none. A tree of tensors, so that it can be donated, saved and restored.
type OptimizerState = Tensor option[][]

/// A pure optimizer, or a part of one: a function from gradients to steps that remembers. A step is what is taken off the
/// parameters, so a rate scales it and decay is added to it. Parts compose (`Transform.chain`) as in Optax.
[<NoComparison; NoEquality>]
type Optimizer =
    {
        /// Names of the slots, as in PyTorch's state.
        Slots: string[]
        /// From the parameters, by name, to the state before the first update: expressions; `Values.own` gives each its
        /// own memory.
        Init: (string * Tensor)[] -> OptimizerState
        /// From context, gradients (or the steps of the part before), state and parameters to steps and the next state.
        Update: UpdateContext -> Tensor[] -> OptimizerState -> (string * Tensor)[] -> Tensor[] * OptimizerState
    }

/// How optimizers are built from the rule for one parameter, and the names of their state.
[<RequireQualifiedAccess>]
module Optimizer =
    let internal require (sentence: string) (condition: bool) = if not condition then raise (ArgumentException sentence)

    let internal atLeast name (low: float) (value: float) =
        require $"{name} must be at least {low}, not {value}." (value >= low)

    let internal requireRange name (low: float) (high: float) (value: float) =
        require $"{name} must be at least {low} and below {high}, not {value}." (value >= low && value < high)

    /// The type that a parameter's update is computed in, and its state kept in: f32 for 16-bit parameters, whose moments
    /// would otherwise stop moving.
    let computed (t: Tensor) : DType =
        match t.DType with
        | DType.F16
        | DType.BF16 -> DType.F32
        | other -> other

    /// A tensor in the type that its update is computed in.
    let widened (t: Tensor) : Tensor = if computed t = t.DType then t else cast (computed t) t

    /// Zeros like a parameter, in the type that its update is computed in: the start of most slots.
    let zeros (t: Tensor) : Tensor option = Some(zerosOf (computed t) t.Shape)

    /// The rate in the type of a parameter's update.
    let rate (context: UpdateContext) (p: Tensor) : Tensor = cast p.DType context.Rate

    /// An optimizer from the rule for one parameter: slots with their starts, and from context, parameter, gradient and
    /// what the slots hold for this parameter to its step and what they hold next.
    let each
        (slots: (string * (Tensor -> Tensor option)) list)
        (rule: UpdateContext -> Tensor -> Tensor -> Tensor[] -> Tensor * Tensor[])
        : Optimizer =
        let starts = slots |> List.map snd |> List.toArray
        let update context (gradients: Tensor[]) (state: OptimizerState) (parameters: (string * Tensor)[]) =
            let next: OptimizerState = state |> Array.map Array.copy
            let steps =
                Array.map2 (fun (_, p) g -> widened p, cast (computed p) g) parameters gradients
                |> Array.mapi (fun i (p, g) ->
                    let own = state |> Array.filter (fun slot -> slot[i].IsSome)
                    let step, later = rule context p g (own |> Array.map (fun slot -> slot[i].Value))
                    next
                    |> Array.filter (fun slot -> slot[i].IsSome)
                    |> Array.iteri (fun k slot -> slot[i] <- Some later[k])
                    step)
            steps, next
        { Slots = slots |> List.map fst |> List.toArray
          Init = fun parameters -> starts |> Array.map (fun start -> parameters |> Array.map (snd >> start))
          Update = update }

    /// A part without state: from context, parameter and gradient to the step.
    let stateless (rule: UpdateContext -> Tensor -> Tensor -> Tensor) : Optimizer =
        each [] (fun context p g _ -> rule context p g, [||])

    /// A part that looks at all steps together, and remembers nothing.
    let together (change: Tensor[] -> Tensor[]) : Optimizer =
        { Slots = [||]
          Init = fun _ -> [||]
          Update = fun _ steps _ _ -> change steps, [||] }

    /// One update: the parameters less their steps, in their own types, and the next state.
    let apply (o: Optimizer) (context: UpdateContext) gradients state (parameters: (string * Tensor)[]) =
        let steps, next = o.Update context gradients state parameters
        let moved = Array.map2 (fun (_, p: Tensor) (step: Tensor) -> cast p.DType (widened p - step)) parameters steps
        moved, next

    /// The tensors of a state by name, slot by slot: `exp_avg.NAME`, ... Names that occur twice (two momenta in one chain)
    /// get numbers.
    let named (o: Optimizer) (names: string[]) (state: OptimizerState) : (string * Tensor)[] =
        let seen = Collections.Generic.Dictionary<string, int>()
        let unique (slot: string) (name: string) =
            let full = slot + "." + name
            let _, before = seen.TryGetValue full
            let count = before + 1
            seen[full] <- count
            if count = 1 then full else $"{slot}_{count}.{name}"
        [| for slot, tensors in Array.zip o.Slots state do
               for name, tensor in Array.zip names tensors do
                   match tensor with
                   | Some t -> unique slot name, t
                   | None -> () |]
