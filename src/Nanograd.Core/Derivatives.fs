namespace Nanograd

/// A function that has been applied to variables in place of its argument's tensors.
[<NoComparison; NoEquality>]
type internal Traced<'T, 'U> =
    { Argument: 'T
      Values: Tensor[]
      Variables: Tensor[]
      Result: 'U
      Outputs: Tensor[] }

[<RequireQualifiedAccess>]
module internal Traced =
    let private isFloat (t: Tensor) = DType.isFloat t.DType

    let floats (ts: Tensor[]) = Array.filter isFloat ts

    let apply (f: 'T -> 'U) (argument: 'T) : Traced<'T, 'U> =
        let values = Tree.leaves argument
        let variables = values |> Array.map (fun v -> Op.input "x" v.DType v.Shape)
        let result = f (Tree.rebuild argument variables)
        { Argument = argument
          Values = values
          Variables = variables
          Result = result
          Outputs = Tree.leaves result }

    /// Results with the argument's values in place of the variables.
    let bind (t: Traced<'T, 'U>) (results: Tensor[]) = Jit.bind t.Variables t.Values results

    /// The given tensors for the floats among `like`; zeros for the others, which have no derivatives.
    let complete (like: Tensor[]) (floats: Tensor[]) =
        let mutable next = -1
        like
        |> Array.map (fun v ->
            if isFloat v then
                next <- next + 1
                floats[next]
            else
                zerosLike v)

    /// The tensors of a tangent or cotangent that belong to floats.
    let matching (transform: string) (what: string) (like: Tensor[]) (tree: 'V) : Tensor[] =
        let given = Tree.leaves tree
        let fits (a: Tensor) (b: Tensor) = a.Shape = b.Shape && a.DType = b.DType
        if given.Length <> like.Length then
            invalidArg what $"{transform}: there are {like.Length} tensors, and {given.Length} {what}s"
        Array.iter2
            (fun a b ->
                if isFloat a && not (fits a b) then
                    Shape.fail transform $"a {what} must have the type and shape of its tensor" "" [ a; b ])
            like
            given
        Array.zip like given |> Array.filter (fst >> isFloat) |> Array.map snd

    /// A function of one tensor of floats, for derivatives that are tensors.
    let single (transform: string) (f: Tensor -> Tensor) (x: Tensor) : Traced<Tensor, Tensor> =
        if not (isFloat x) then Shape.fail transform "the argument must be a float tensor" "cast it first" [ x ]
        let t = apply f x
        if not (isFloat t.Result) then Shape.fail transform "the function must return floats" "" [ t.Result ]
        t

/// Derivatives of functions from tensors to tensors, in both modes and of all orders. All of them are functions of
/// expressions: they nest with each other, with `grad`, `vmap` and `jit`, in any order.
[<AutoOpen>]
module Derivatives =
    /// All tensors of the shape with a single 1, in row-major order: `[n; shape...]` for a shape of n elements.
    let private basis (dtype: DType) (shape: int[]) =
        let n = Shape.count shape
        let along axis = Op.iota DType.I64 [| n; n |] axis
        Op.reshape (Array.append [| n |] shape) (Op.cast dtype (Op.binary Binary.Eq (along 0) (along 1)))

    /// <summary>The value of `f` at `x`, and the pullback there: from cotangents of the results to cotangents of the
    /// argument, both trees of the same form. Reverse mode.</summary>
    /// <remarks>For a scalar `f`, the pullback of 1 is the gradient. Tensors that are not floats get zeros. The pullback
    /// is an expression that shares the forward pass with the value: evaluate both together, or under `jit`.</remarks>
    /// <exception cref="ShapeException">When a cotangent does not have the type and shape of its result.</exception>
    /// <example><code>snd (vjp square (tensor [ 1.; 2. ])) (tensor [ 1.; 10. ]) // tensor([2., 40.])</code></example>
    let vjp (f: 'T -> 'U) (x: 'T) : 'U * ('U -> 'T) =
        let t = Traced.apply f x
        let pullback (cotangent: 'U) =
            let given = Traced.matching "vjp" "cotangent" t.Outputs cotangent
            Grad.vjp (Traced.floats t.Outputs) given (Traced.floats t.Variables)
            |> Traced.bind t
            |> Traced.complete t.Values
            |> Tree.rebuild x
        Tree.rebuild t.Result (Traced.bind t t.Outputs), pullback

    /// <summary>The value of `f` at `x`, and how it changes when `x` changes by `tangent`, a tree of the same form: the
    /// Jacobian-vector product. Forward mode.</summary>
    /// <remarks>Costs a small multiple of `f` itself, whatever the number of results, and keeps nothing for a backward
    /// pass. Tangents of tensors that are not floats are not read; such results get zeros.</remarks>
    /// <exception cref="ShapeException">When a tangent does not have the type and shape of its tensor.</exception>
    /// <example><code>
    /// jvp square (tensor [ 1.; 2. ]) (tensor [ 1.; 10. ]) // (tensor([1., 4.]), tensor([2., 40.]))
    /// </code></example>
    let jvp (f: 'T -> 'U) (x: 'T) (tangent: 'T) : 'U * 'U =
        let t = Traced.apply f x
        let given = Traced.matching "jvp" "tangent" t.Variables tangent
        let primal, derived = Jvp.both t.Outputs (Traced.floats t.Variables) given
        let all = Traced.bind t (Array.append primal derived)
        Tree.rebuild t.Result all[.. primal.Length - 1], Tree.rebuild t.Result all[primal.Length ..]

    let rec private hasLoop (roots: Tensor[]) =
        Graph.topological roots
        |> Array.exists (fun t ->
            match t.Op with
            | Op.Scan _ -> true
            | Op.Custom f -> hasLoop f.Body.Results
            | _ -> false)

    /// The tangents of outputs, in a form where nothing that depends on the tangents computes values of the outputs.
    let private linearPart (outputs: Tensor[]) (variables: Tensor[]) (tangents: Tensor[]) : Tensor[] =
        if not (hasLoop outputs) then
            Jvp.jvp outputs variables tangents
        else
            // Forward mode computes the values of a loop together with its tangents. Transposing twice parts them: a
            // gradient keeps what it needs of the loop, and is linear in the cotangents, so its transpose is, too.
            let cotangents = Traced.floats outputs |> Array.map (fun y -> Op.input "c" y.DType y.Shape)
            let gradient = Grad.vjp (Traced.floats outputs) cotangents variables
            Grad.vjp gradient tangents cotangents
            |> Jit.bind cotangents (Array.map Calculus.zeros cotangents)
            |> Traced.complete outputs

    /// <summary>The value of `f` at `x` and the linear map that approximates `f` there, as a function of tangents.
    /// </summary>
    /// <remarks>What `jvp` gives, but `f` is computed once: its value and what the linear map needs of it are evaluated
    /// here, if `x` has a value, and applications of the map compute with those. (Loops keep their products and reductions,
    /// and compute elementwise functions again.) Where `x` is made of variables (inside `jit` or another transform), the
    /// outer program shares them.</remarks>
    /// <exception cref="ShapeException">When a tangent does not have the type and shape of its tensor.</exception>
    /// <example><code>snd (linearize exp (tensor [ 0. ])) (tensor [ 3. ]) // tensor([3.])</code></example>
    let linearize (f: 'T -> 'U) (x: 'T) : 'U * ('T -> 'U) =
        let t = Traced.apply f x
        let tangents = Traced.floats t.Variables |> Array.map (fun v -> Op.input "d" v.DType v.Shape)
        let derived = linearPart t.Outputs (Traced.floats t.Variables) tangents
        let n = t.Outputs.Length
        // What does not depend on the tangents is captured by the linear part.
        let all = Traced.bind t (Array.append t.Outputs derived)
        let linear, captured = Lambda.close tangents all[n..]
        let known = Array.append all[.. n - 1] captured
        let known = if Array.forall Graph.isClosed known then Program.evaluate known else known
        let captured = known[n..]
        let push (tangent: 'T) =
            let given = Traced.matching "linearize" "tangent" t.Variables tangent
            Tree.rebuild t.Result (Lambda.apply linear (Array.append captured given))
        Tree.rebuild t.Result known[.. n - 1], push

    let private forward (t: Traced<Tensor, Tensor>) : Tensor =
        let x, y = t.Variables[0], t.Outputs[0]
        let tangent = Op.input "d" x.DType x.Shape
        let derived = Jvp.jvp [| y |] [| x |] [| tangent |]
        let columns = (Vmap.vmap x.Count derived [| tangent |] [| basis x.DType x.Shape |]).[0] // [x.Count; y.Shape]
        Op.permute (Array.append [| 1 .. y.Rank |] [| 0 |]) columns |> Op.reshape (Array.append y.Shape x.Shape)

    let private reverse (t: Traced<Tensor, Tensor>) : Tensor =
        let x, y = t.Variables[0], t.Outputs[0]
        let cotangent = Op.input "c" y.DType y.Shape
        let gradient = Grad.vjp [| y |] [| cotangent |] [| x |]
        (Vmap.vmap y.Count gradient [| cotangent |] [| basis y.DType y.Shape |]).[0]
        |> Op.reshape (Array.append y.Shape x.Shape)

    let private bound (t: Traced<'T, 'U>) result = (Traced.bind t [| result |]).[0]

    /// <summary>The Jacobian by forward mode, `y.Shape ++ x.Shape`: one batched pass with as many examples as `x` has
    /// elements.</summary>
    /// <exception cref="ShapeException">When argument or result are not floats.</exception>
    /// <example><code>jacobianForward (cumSum 0) (tensor [ 1.; 2. ]) // tensor([[1., 0.], [1., 1.]])</code></example>
    let jacobianForward (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let t = Traced.single "jacobianForward" f x
        bound t (forward t)

    /// <summary>The Jacobian by reverse mode, `y.Shape ++ x.Shape`: one batched pass with as many examples as the result
    /// has elements.</summary>
    /// <exception cref="ShapeException">When argument or result are not floats.</exception>
    /// <example><code>jacobianReverse sum (tensor [ 1.; 2. ]) // tensor([1., 1.])</code></example>
    let jacobianReverse (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let t = Traced.single "jacobianReverse" f x
        bound t (reverse t)

    /// <summary>All partial derivatives of the result `y` of `f` by the elements of `x`: `y.Shape ++ x.Shape`, where
    /// element [i...; j...] is that of y[i...] by x[j...].</summary>
    /// <remarks>Forward mode where `x` has no more elements than `y`, otherwise reverse mode.</remarks>
    /// <exception cref="ShapeException">When argument or result are not floats.</exception>
    /// <example><code>
    /// jacobian (fun x -> x * sum x) (tensor [ 1.; 2. ]) // tensor([[4., 1.], [2., 5.]])
    /// </code></example>
    let jacobian (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let t = Traced.single "jacobian" f x
        bound t (if x.Count <= t.Outputs[0].Count then forward t else reverse t)

    /// <summary>All second partial derivatives of a scalar function: `x.Shape ++ x.Shape`. Forward over reverse mode.
    /// </summary>
    /// <exception cref="ShapeException">When the result is not a scalar, or the argument not of floats.</exception>
    /// <example><code>
    /// hessian (fun x -> sum (x * x * x)) (tensor [ 1.; 2. ]) // tensor([[6., 0.], [0., 12.]])
    /// </code></example>
    let hessian (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let t = Traced.single "hessian" (grad f) x
        bound t (forward t)

    /// <summary>The Hessian of a scalar function of a tree, times a vector `v` of the same form, without the Hessian: one
    /// forward pass through the gradient (B. Pearlmutter, "Fast exact multiplication by the Hessian", 1994).</summary>
    /// <exception cref="ShapeException">When the result is not a scalar, or `v` does not fit `x`.</exception>
    /// <example><code>
    /// hvp (fun (x: Tensor) -> sum (x * x * x)) (tensor [ 1.; 2. ]) (tensor [ 1.; 1. ]) // tensor([6., 12.])
    /// </code></example>
    let hvp (f: 'T -> Tensor) (x: 'T) (v: 'T) : 'T = snd (jvp (grad f) x v)

    /// The sum over all directions of what `along` says for each: `[n; y.Shape]` is summed over n.
    let private overDirections (x: Tensor) (along: Tensor -> Tensor) =
        let direction = Op.input "d" x.DType x.Shape
        let each = Vmap.vmap x.Count [| along direction |] [| direction |] [| basis x.DType x.Shape |]
        Op.reduce Reduction.Sum [ 0 ] each[0]

    /// <summary>The sum of the second derivatives of `f` by each element of `x`, unmixed: the trace of the Hessian, of
    /// every element of the result (`y.Shape`). Forward over forward mode, all directions in one batch.</summary>
    /// <exception cref="ShapeException">When argument or result are not floats.</exception>
    /// <example><code>laplacian (fun x -> sum (x * x)) (tensor [ 1.; 2.; 3. ]) // tensor(6.)</code></example>
    let laplacian (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let t = Traced.single "laplacian" f x
        let x, y = t.Variables[0], t.Outputs
        let second d = (Jvp.jvp (Jvp.jvp y [| x |] [| d |]) [| x |] [| d |]).[0]
        bound t (overDirections x second)

    let private field (transform: string) (f: Tensor -> Tensor) (x: Tensor) =
        let t = Traced.single transform f x
        if t.Result.Shape <> x.Shape then
            Shape.fail
                transform
                "the result must have the shape of the argument: a vector at each point"
                ""
                [ x; t.Result ]
        t

    /// <summary>The divergence of a vector field at a point, a scalar: the sum of the derivatives of each component by its
    /// own coordinate, the trace of the Jacobian. Field and point have one shape, often `[d]`.</summary>
    /// <exception cref="ShapeException">When the field's shape is not the point's.</exception>
    /// <example><code>divergence (fun x -> x * x) (tensor [ 1.; 2. ]) // tensor(6.)</code></example>
    let divergence (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let t = field "divergence" f x
        let x, y = t.Variables[0], t.Outputs
        let own d = sum (d * (Jvp.jvp y [| x |] [| d |]).[0])
        bound t (overDirections x own)

    /// <summary>The curl of a vector field at a point: of `[3]` a vector `[3]`, of `[2]` its third component, a
    /// scalar.</summary>
    /// <exception cref="ShapeException">When the point is not `[2]` or `[3]`, or the field's shape is not the
    /// point's.</exception>
    /// <example><code>curl (fun p -> stack 0 [ -p[1]; p[0] ]) (tensor [ 3.; 4. ]) // tensor(2.)</code></example>
    let curl (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        if x.Shape <> [| 2 |] && x.Shape <> [| 3 |] then
            Shape.fail "curl" "the point must be a vector of 2 or 3 elements" "use vmap for many points" [ x ]
        let t = field "curl" f x
        let j = forward t
        let by (i: int) (k: int) = Op.reshape [||] (Op.slice [| i; k |] [| i + 1; k + 1 |] [| 1; 1 |] j) // d f_i / d x_k
        bound t (if x.Count = 2 then by 1 0 - by 0 1 else stack 0 [ by 2 1 - by 1 2; by 0 2 - by 2 0; by 1 0 - by 0 1 ])

    /// <summary>The n-th derivative of a function of a scalar; the result may have any shape. Forward mode, n times.
    /// </summary>
    /// <exception cref="ShapeException">When the argument is not a scalar, argument or result not floats, or n is
    /// negative.</exception>
    /// <example><code>derivative 2 (fun x -> x ** 3) (scalar 5.) // tensor(30.)</code></example>
    let derivative (n: int) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        if x.Rank <> 0 then Shape.fail "derivative" "the argument must be a scalar" "use vmap for many" [ x ]
        if n < 0 then raise (ShapeException("derivative", "the order must not be negative", string n, ""))
        let t = Traced.single "derivative" f x
        let x = t.Variables
        let one = [| Calculus.fill x[0].DType [||] 1.0 |]
        let rec times n y = if n = 0 then y else times (n - 1) (Jvp.jvp y x one)
        bound t (times n t.Outputs).[0]
