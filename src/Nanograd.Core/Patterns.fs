namespace Nanograd

open System

/// When a rewrite rule may be used.
[<RequireQualifiedAccess>]
type Stage =
    /// Keeps values (within rounding) and never makes a program slower: used everywhere.
    | Always
    /// The same, but only good for machines: not used for printing.
    | Compile
    /// True in algebra, but not for infinities and NaN (x - x = 0): used only for printing.
    | Relaxed

/// What random instances of left sides are made of: two tensors of one shape, a matrix that fits them, numbers, cuts.
[<Sealed>]
type Draw(random: Random, dtype: DType) =
    let shape = [| 2 + random.Next 3; 3 + random.Next 3; 4 + random.Next 3 |]
    let x, y = Op.input "x" dtype shape, Op.input "y" dtype shape
    let w = Op.input "w" dtype [| shape[2]; 2 + random.Next 4 |]
    member _.X = x
    member _.Y = y
    /// `[last extent of X; n]`.
    member _.W = w
    /// Between 0 and n - 1.
    member _.Below(n: int) = random.Next n
    /// A number that all types have, and that is neither 0 nor 1.
    member _.Number = float (2 + random.Next 4)

    /// Elements from some start to some stop of every axis, by some step; at least one of each.
    member _.Cut(t: Tensor) : Tensor =
        let starts = t.Shape |> Array.map (fun e -> random.Next(1 + e / 2))
        let stops = Array.map2 (fun s e -> s + 1 + random.Next(e - s)) starts t.Shape
        Op.slice starts stops (t.Shape |> Array.map (fun _ -> 1 + random.Next 2)) t

/// A law: a node that looks like the left side is replaced by the right side.
[<NoEquality; NoComparison>]
type Rule =
    {
        /// The law in words, `name: left = right`. Traces and tests call the rule by it.
        Name: string
        Family: string
        Stage: Stage
        /// The kind of node that it rewrites (see Patterns.head).
        Head: int
        Apply: Tensor -> Tensor voption
        /// True if both sides are the same number for all operands (-0 and 0 are); otherwise they differ by rounding.
        Exact: bool
        /// A random instance of the left side: what a property test starts from.
        Sample: Draw -> Tensor
    }

/// The vocabulary of rules. Partial patterns are for rules only, which may say nothing; tables match Op itself.
[<AutoOpen>]
module internal Patterns =
    /// A small number for each kind of node: rules are found by it.
    let head (op: Op) =
        match op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.RandomBits -> 0
        | Op.Unary u -> 20 + Case.number u
        | Op.Binary b -> 60 + Case.number b
        | Op.Movement m -> 100 + Case.number m
        | Op.Reduce(r, _) -> 120 + Case.number r
        | Op.Select -> 1
        | Op.Cast -> 2
        | Op.BitCast -> 3
        | Op.ArgReduce _ -> 4
        | Op.CumSum _ -> 5
        | Op.Dot _ -> 6
        | Op.Conv _ -> 7
        | Op.Indexing _ -> 8
        | Op.Sort _ -> 9
        | Op.TopK _ -> 10
        | Op.Scan _ -> 11
        | Op.Custom _ -> 12
        | Op.Checkpoint _ -> 13
        | Op.Item _ -> 14

    /// One more than the largest head.
    let heads = 128

    let private rule family head name sample apply =
        { Name = name
          Family = family
          Stage = Stage.Always
          Head = head
          Exact = true
          Apply = apply
          Sample = fun d -> sample d.X d.Y d }

    /// A rule about an elementwise function of one operand.
    let unaryRule family u name sample apply = rule family (head (Op.Unary u)) name sample (fun t -> apply t.Inputs[0])

    /// A rule about an elementwise function of two operands (of equal shapes, as constructors make them).
    let binaryRule family b name sample apply =
        rule family (head (Op.Binary b)) name sample (fun t -> apply t.Inputs[0] t.Inputs[1])

    /// A rule about nodes like `like`; it is given the node and its first operand.
    let nodeRule family like name sample apply = rule family (head like) name sample (fun t -> apply t t.Inputs[0])

    let compileOnly r = { r with Stage = Stage.Compile }
    let relaxed r = { r with Stage = Stage.Relaxed; Exact = false }
    let rounds r = { r with Exact = false }
    let roundsIf condition r = { r with Exact = r.Exact && not condition }

    /// `v` everywhere, like `x`.
    let like (x: Tensor) (v: float) = Calculus.fill x.DType x.Shape v

    /// A constant everywhere.
    let constantLike (shape: int[]) (c: Constant) = Op.broadcast shape (Op.constant c)

    [<return: Struct>]
    let (|Uniform|_|) (x: Tensor) = Calculus.uniform x

    /// The number that stands everywhere.
    [<return: Struct>]
    let (|Number|_|) (x: Tensor) =
        match Calculus.uniform x with
        | ValueSome c -> ValueSome c.Float
        | ValueNone -> ValueNone

    let (|IsNumber|_|) (v: float) (x: Tensor) =
        match Calculus.uniform x with
        | ValueSome c -> c.Float = v
        | ValueNone -> false

    let (|UnaryOf|_|) (u: Unary) (x: Tensor) =
        match x.Op with
        | Op.Unary v when u = v -> Some x.Inputs[0]
        | _ -> None

    [<return: Struct>]
    let (|Neg|_|) (x: Tensor) =
        match x.Op with
        | Op.Unary Unary.Neg -> ValueSome x.Inputs[0]
        | _ -> ValueNone

    [<return: Struct>]
    let (|Add|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Add -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Sub|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Sub -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Mul|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Mul -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Div|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Div -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Reshaped|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement Movement.Reshape -> ValueSome x.Inputs[0]
        | _ -> ValueNone

    [<return: Struct>]
    let (|Permuted|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Permute p) -> ValueSome(struct (p, x.Inputs[0]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Stretched|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement Movement.Broadcast -> ValueSome x.Inputs[0]
        | _ -> ValueNone

    [<return: Struct>]
    let (|Sliced|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Slice(a, s)) -> ValueSome(struct (a, s, x.Inputs[0]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Padded|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Pad(low, high, interior)) -> ValueSome(struct (low, high, interior, x.Inputs[0]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Joined|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Concat axis) -> ValueSome(struct (axis, x.Inputs))
        | _ -> ValueNone

    let isFloat (x: Tensor) = DType.isFloat x.DType

    /// `extents` elements of each axis from `starts`, `steps` apart.
    let sliceOf (starts: int[]) (steps: int[]) (extents: int[]) (x: Tensor) =
        let starts = starts |> Array.mapi (fun i s -> if extents[i] = 0 then min s x.Shape[i] else s) // nothing is taken from anywhere
        Op.slice
            starts
            (Array.init x.Rank (fun i ->
                if extents[i] = 0 then starts[i] else starts[i] + (extents[i] - 1) * steps[i] + 1))
            steps
            x

    // ---- samples

    /// A scalar of the type of `x`.
    let num (x: Tensor) (v: float) = Op.constant (Constant.ofFloat x.DType v)

    /// The matrix of a draw, where a sample needs one.
    let (|Matrix|) (d: Draw) = d.W

    let isPowerOfTwo (v: float) = Double.IsNormal v && (BitConverter.DoubleToInt64Bits v &&& 0xFFFFFFFFFFFFFL) = 0L
