/// Matrix products.
module Nanograd.Bench.Cases.Products

open Nanograd
open Nanograd.Bench.Make

let private flop m n k = 2.0 * float m * float n * float k

/// [m,k] @ [k,n].
let private product name m n k =
    arithmetic name $"[{m},{k}] @ [{k},{n}]" (flop m n k) (fun () ->
        ofFunction (fun (a, b) -> matmul a b) (normal 1L [| m; k |], normal 2L [| k; n |]))

/// The three products of a dense layer, 384 to 1536, on 768 tokens: forward, and the gradients of input and weight.
let private linear3 =
    arithmetic "gemm_linear3" "x[768,384] w[1536,384]: x@w.T, dy@w, dy.T@x" (3.0 * flop 768 384 1536) (fun () ->
        ofFunction
            (fun (x, w, dy) -> matmul x (transpose w), matmul dy w, matmul (transpose dy) x)
            (normal 1L [| 768; 384 |], normal 2L [| 1536; 384 |], normal 3L [| 768; 1536 |]))

let private batched name count m n k =
    arithmetic name $"[{count},{m},{k}] @ [{count},{k},{n}]" (float count * flop m n k) (fun () ->
        ofFunction (fun (a, b) -> matmul a b) (normal 1L [| count; m; k |], normal 2L [| count; k; n |]))

let private matrixVector name m k =
    { reading name $"[{m},{k}] @ [{k}]" (float m * float k) (fun () ->
          ofFunction (fun (w, x) -> matmul w x) (normal 1L [| m; k |], normal 2L [| k |])) with
        Flop = flop m 1 k }

/// Both operands transposed, and every second column of what was stored.
let private views =
    [ arithmetic "gemm_tt_700" "[700,700].T @ [700,700].T" (flop 700 700 700) (fun () ->
          ofFunction
              (fun (a, b) -> matmul (transpose a) (transpose b))
              (normal 1L [| 700; 700 |], normal 2L [| 700; 700 |]))
      arithmetic "gemm_strided_600" "[600,1200][:, ::2] @ [1200,600][::2]" (flop 600 600 600) (fun () ->
          ofFunction
              (fun (a, b) -> matmul (sliceStep 1 0 1200 2 a) (sliceStep 0 0 1200 2 b))
              (normal 1L [| 600; 1200 |], normal 2L [| 1200; 600 |])) ]

let all =
    [ for n in [ 64; 128; 256; 512; 1024; 2048 ] do
          product $"gemm_{n}" n n n
      { product "gemm_1024_1t" 1024 1024 1024 with Threads = Some 1 }
      for n in [ 17; 127; 509; 1021 ] do
          product $"gemm_{n}" n n n
      product "gemm_tall" 4096 64 512
      product "gemm_thin" 16 2048 1024
      yield! views
      linear3
      batched "bmm_64x64x64" 64 64 64 64
      batched "bmm_31" 100 31 37 29
      matrixVector "gemv_4096" 4096 4096
      matrixVector "gemv_3001" 3001 5003 ]
