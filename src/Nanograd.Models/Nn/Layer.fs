namespace Nanograd

/// A function with parameters, which it can also make: `Init` draws them from a key, `Apply` computes. A key for what is random (dropout)
/// means training, none evaluation.
[<NoComparison; NoEquality>]
type Layer<'P> =
    { Init: Tensor -> 'P
      Apply: Tensor option -> 'P -> Tensor -> Tensor }

    /// One layer after the other; the parameters are a pair, and each layer has a key of its own.
    static member (>->)(a: Layer<'P>, b: Layer<'Q>) : Layer<'P * 'Q> =
        { Init = fun key -> a.Init(Random.fold key 0), b.Init(Random.fold key 1)
          Apply =
            fun key (p, q) x ->
                let part n = key |> Option.map (fun k -> Random.fold k n)
                x |> a.Apply (part 0) p |> b.Apply (part 1) q }

    /// A function of tensors after a layer; it has no parameters.
    static member (>->)(a: Layer<'P>, f: Tensor -> Tensor) : Layer<'P> =
        { a with Apply = fun key p x -> f (a.Apply key p x) }

    /// A function of tensors before a layer.
    static member (>->)(f: Tensor -> Tensor, b: Layer<'P>) : Layer<'P> =
        { b with Apply = fun key p x -> b.Apply key p (f x) }

/// Layers that compose: `let net = Layer.linear 784 128 >-> relu >-> Layer.dropout 0.1 >-> Layer.linear 128 10`, then
/// `let p = Layer.init key net` and `Layer.apply net p x`. The parameters are a tree as any other.
[<RequireQualifiedAccess>]
module Layer =
    /// A layer from its two functions, without randomness in `apply`.
    let ofFunctions (init: Tensor -> 'P) (apply: 'P -> Tensor -> Tensor) : Layer<'P> =
        { Init = init; Apply = fun _ p x -> apply p x }

    /// A function of tensors as a layer without parameters.
    let ofFunction (f: Tensor -> Tensor) : Layer<unit> = ofFunctions ignore (fun () x -> f x)

    /// Parameters drawn from a key.
    let init (key: Tensor) (layer: Layer<'P>) : 'P = layer.Init key

    /// Evaluation: nothing is random.
    let apply (layer: Layer<'P>) (p: 'P) (x: Tensor) : Tensor = layer.Apply None p x

    /// Training: what is random comes from the key.
    let train (layer: Layer<'P>) (key: Tensor) (p: 'P) (x: Tensor) : Tensor = layer.Apply (Some key) p x

    /// x + f(x): parameters are the layer's.
    let residual (layer: Layer<'P>) : Layer<'P> = { layer with Apply = fun key p x -> x + layer.Apply key p x }

    /// The same layer `count` times, each with parameters of its own.
    let repeat (count: int) (layer: Layer<'P>) : Layer<'P[]> =
        let part n key = Random.fold key n
        { Init = fun key -> Array.init count (fun n -> layer.Init(part n key))
          Apply =
            fun key ps x ->
                ((x, 0), ps) ||> Array.fold (fun (x, n) p -> layer.Apply (Option.map (part n) key) p x, n + 1) |> fst }

    /// A dense layer with bias: `[..; inputs]` to `[..; outputs]`.
    let linear (inputs: int) (outputs: int) : Layer<Linear> =
        ofFunctions (fun key -> Linear.init key inputs outputs true) Linear.apply

    /// Rows of a table: integers `[..]` to `[..; dim]`.
    let embedding (vocabulary: int) (dim: int) : Layer<Embedding> =
        ofFunctions (fun key -> Embedding.init 1.0 key vocabulary dim) Embedding.apply

    /// Normalisation over the last axis.
    let layerNorm (width: int) : Layer<LayerNorm> = ofFunctions (fun _ -> LayerNorm.init width true) LayerNorm.apply

    /// A convolution over the last two axes with bias: `[B; inputs; H; W]` to `[B; outputs; ..; ..]`.
    let conv2d (options: ConvOptions) (inputs: int) (outputs: int) (kernel: int[]) : Layer<Conv> =
        ofFunctions
            (fun key -> Conv.init key inputs outputs kernel options.Groups true)
            (Conv2d.apply options PaddingMode.Zeros)

    /// Dropout in training.
    let dropout (p: float) : Layer<unit> = { Init = ignore; Apply = fun key () x -> Dropout.maybe p key 0 x }
