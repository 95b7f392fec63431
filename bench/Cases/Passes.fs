/// Passes over memory: elementwise functions, reductions, copies.
module Nanograd.Bench.Cases.Passes

open Nanograd
open Nanograd.Bench
open Nanograd.Bench.Make

let private count = 1 <<< 24

/// gelu (x * w + b) and the gradient of its sum by all three, for x of one shape and w and b of another.
let private gelus =
    let pair name f (shape: int[]) (others: int[]) forward backward =
        let whole (x, w, b) = f (x * w + b)
        let operands () = normal 1L shape, normal 2L others, normal 3L others
        let config = $"gelu(x*w+b), x {Shape.show shape}, w and b {Shape.show others}"
        [ copying $"{name}_fwd" config forward (fun () -> ofFunction whole (operands ()))
          copying $"{name}_fwdbwd" $"gradient of the sum of {config}" backward (fun () ->
              ofFunction (grad (whole >> sum)) (operands ())) ]
    let n = float count
    [ yield! pair "gelu_erf" gelu [| count |] [| count |] (4.0 * n) (6.0 * n)
      yield! pair "gelu_tanh" geluTanh [| count |] [| count |] (4.0 * n) (6.0 * n)
      yield! pair "gelurow_tanh" geluTanh [| 4096; 4096 |] [| 4096 |] (2.0 * n) (2.0 * n) ]

let private softmaxes name rows columns =
    let shape, n = [| rows; columns |], float rows * float columns
    let towards (x, dy) = grad (fun x -> sum (softmax -1 x * dy)) x
    [ copying $"{name}_fwd" $"rows of {Shape.show shape}" (2.0 * n) (fun () ->
          ofFunction (softmax -1) (normal 1L shape))
      copying $"{name}_fwdbwd" $"gradient of x {Shape.show shape}, given that of the result" (5.0 * n) (fun () ->
          ofFunction towards (normal 1L shape, normal 2L shape)) ]

let private layerNorms name rows columns =
    let shape, n = [| rows; columns |], float rows * float columns
    let layer x w b = LayerNorm.compute LayerNorm.Eps w (Some b) x
    let operands () = normal 1L shape, normal 2L [| columns |], normal 3L [| columns |]
    let towards (x, w, b, dy) = grad (fun (x, w, b) -> sum (layer x w b * dy)) (x, w, b)
    [ copying $"{name}_fwd" $"rows of {Shape.show shape}" (2.0 * n) (fun () ->
          ofFunction (fun (x, w, b) -> layer x w b) (operands ()))
      copying $"{name}_fwdbwd" $"gradients of x {Shape.show shape}, weight, bias" (5.0 * n) (fun () ->
          let x, w, b = operands ()
          ofFunction towards (x, w, b, normal 4L shape)) ]

/// x + y into memory that is there already: the result before is donated.
let private addInPlace =
    copying "add_16m_out" "x+y [4096,4096] into preallocated memory" (3.0 * float count) (fun () ->
        let x, y = normal 1L [| 4096; 4096 |], normal 2L [| 4096; 4096 |]
        let step (_: Tensor) (x: Tensor, y: Tensor) = x + y, [||]
        ofStep step (fun (z, _) -> [| z |]) [| x; y |] (Values.own (zerosLike x)) (x, y))

/// Functions of one or two operands of one shape.
let private streams =
    let n = float count
    let square = [| 4096; 4096 |]
    let ofOne f shape () = ofFunction f (normal 1L shape)
    let added (x: Tensor, y: Tensor) = x + y
    [ reading "sum_16m" "sum of [4096,4096]" n (ofOne sum square)
      reading "sum_axis0" "sum of [4096,4096] over axis 0" n (ofOne (sumOver [ 0 ]) square)
      copying "add_16m" "x+y [4096,4096], fresh result" (3.0 * n) (fun () ->
          ofFunction added (normal 1L square, normal 2L square))
      addInPlace
      copying "transpose_copy" "transpose of [4096,4096]" (2.0 * n) (ofOne transpose square)
      copying "exp_16m" "exp of [4096,4096], fresh result" (2.0 * n) (ofOne exp square) ]

/// Extents that no vector divides, views, and single long rows.
let private odd =
    let long, big = [| 1; 1000003 |], [| 3001; 4001 |]
    let ofOne f shape () = ofFunction f (normal 1L shape)
    let n = float (3001 * 4001)
    [ copying "add_1000003" "x+y [1000003]" (3.0 * 1000003.0) (fun () ->
          ofFunction (fun (x: Tensor, y: Tensor) -> x + y) (normal 1L [| 1000003 |], normal 2L [| 1000003 |]))
      copying "tanh_1000003" "tanh of [1000003]" (2.0 * 1000003.0) (ofOne tanh [| 1000003 |])
      reading "sum_long_row" "sum of [1,1000003] over axis 1" 1000003.0 (ofOne (sumOver [ 1 ]) long)
      yield! softmaxes "softmax_long_row" 1 1000003
      yield! softmaxes "softmax_odd" 1021 1031
      yield! softmaxes "softmax_short_rows" 200003 17
      yield! layerNorms "layernorm_odd" 1021 1031
      copying "transpose_odd" "transpose of [3001,4001]" (2.0 * n) (ofOne transpose big)
      copying "permute_0213" "[16,129,33,65] with its middle axes swapped" (2.0 * float (16 * 129 * 33 * 65)) (fun () ->
          ofFunction (permute [| 0; 2; 1; 3 |]) (normal 1L [| 16; 129; 33; 65 |]))
      copying "add_transposed" "x+y.T [3001,3001]" (3.0 * 3001.0 * 3001.0) (fun () ->
          ofFunction
              (fun (x: Tensor, y: Tensor) -> x + transpose y)
              (normal 1L [| 3001; 3001 |], normal 2L [| 3001; 3001 |]))
      reading "sum_axis0_odd" "sum of [3001,4001] over axis 0" n (ofOne (sumOver [ 0 ]) big)
      reading "max_middle" "largest of [129,513,65] over axis 1" (float (129 * 513 * 65)) (fun () ->
          ofFunction (amax [ 1 ]) (normal 1L [| 129; 513; 65 |]))
      copying "relu_strided" "relu of every second of [4000,4000]'s columns" (4000.0 * (4000.0 + 2000.0)) (fun () ->
          ofFunction (sliceStep 1 0 4000 2 >> relu) (normal 1L [| 4000; 4000 |])) ]

let all: Case list =
    [ yield! gelus
      yield! softmaxes "softmax" 4096 4096
      yield! layerNorms "layernorm" 4096 1024
      yield! streams
      yield! odd ]
