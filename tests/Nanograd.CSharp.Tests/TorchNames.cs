using Nanograd.CSharp;

namespace FacadeTests;

/// <summary>One part of PyTorch: its names, and where their twins are looked for; nowhere in particular: among the types.</summary>
internal sealed record TorchSection(string Title, string Prefix, Type[] Places, string Names);

/// <summary>The names of PyTorch that users meet, by section, and what has another name here.</summary>
internal static class TorchNames
{
    private static readonly Type[] Functions = [typeof(Tensor), typeof(Linalg), typeof(F)];

    public static readonly TorchSection[] Sections =
    [
        new("torch", "torch.", Functions,
            """
            Tensor Generator manual_seed no_grad set_grad_enabled inference_mode compile save load tensor as_tensor from_numpy zeros zeros_like ones
            ones_like full full_like empty empty_like arange range linspace logspace eye rand rand_like randn randn_like randint randperm normal
            bernoulli multinomial poisson abs absolute acos arccos acosh add addbmm addcdiv addcmul addmm addmv addr all allclose amax amin aminmax
            any argmax argmin argsort argwhere asin asinh atan atan2 atanh baddbmm bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or
            bitwise_right_shift bitwise_xor block_diag bmm broadcast_tensors broadcast_to bucketize cartesian_prod cat cdist ceil chain_matmul
            cholesky chunk clamp clamp_max clamp_min clip clone column_stack combinations complex concat conj copysign corrcoef cos cosh
            count_nonzero cov cross cummax cummin cumprod cumsum cumulative_trapezoid deg2rad det diag diag_embed diagflat diagonal diff digamma
            dist div divide dot dsplit dstack einsum eq equal erf erfc erfinv exp exp2 expm1 flatten flip fliplr flipud float_power floor
            floor_divide fmax fmin fmod frac frexp gather gcd ge gradient greater gt heaviside histc histogram hsplit hstack hypot i0 index_add
            index_select inner inverse isclose isfinite isin isinf isnan isneginf isposinf kron kthvalue lcm ldexp le lerp less lgamma log log10
            log1p log2 logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logsumexp lt lu masked_select
            matmul matrix_exp matrix_power max maximum mean median meshgrid min minimum mm mode moveaxis movedim msort mul multiply mv nan_to_num
            nanmean nanmedian nanquantile nansum narrow ne neg negative nextafter nonzero norm not_equal numel outer permute pinverse polar polygamma
            positive pow prod qr quantile rad2deg ravel reciprocal remainder renorm repeat_interleave reshape roll rot90 round rsqrt scatter
            scatter_add scatter_reduce searchsorted select sgn sigmoid sign signbit sin sinc sinh slogdet softmax sort split sqrt square squeeze
            stack std std_mean stft sub subtract sum svd swapaxes t take take_along_dim tan tanh tensor_split tensordot tile topk trace transpose
            trapezoid trapz triangular_solve tril tril_indices triu triu_indices trunc unbind unflatten unfold unique unique_consecutive unsqueeze
            vander var var_mean vdot view_as_complex vsplit vstack where xlogy
            """),
        new("torch.Tensor", "Tensor.", [typeof(Tensor), typeof(Parameter)],
            """
            backward grad requires_grad requires_grad_ is_leaf detach item tolist numpy shape size dim ndim numel dtype type to float double half
            bfloat16 int long bool cpu cuda view view_as expand expand_as repeat repeat_interleave contiguous clone copy_ fill_ zero_ normal_ uniform_
            masked_fill index_fill index_put index_copy scatter T mT element_size register_hook retain_grad data relu softmax log_softmax argmax
            """),
        new("torch.nn", "nn.", [],
            """
            Module Parameter Buffer Sequential ModuleList ModuleDict ParameterList ParameterDict Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d
            ConvTranspose3d LazyConv2d LazyLinear LazyBatchNorm2d Unfold Fold MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
            AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
            AdaptiveMaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
            ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d CircularPad1d CircularPad2d
            CircularPad3d ELU Hardshrink Hardsigmoid Hardtanh Hardswish LeakyReLU LogSigmoid MultiheadAttention PReLU ReLU ReLU6 RReLU SELU CELU
            GELU Sigmoid SiLU Mish Softplus Softshrink Softsign Tanh Tanhshrink Threshold GLU Softmin Softmax Softmax2d LogSoftmax
            AdaptiveLogSoftmaxWithLoss BatchNorm1d BatchNorm2d BatchNorm3d GroupNorm SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d
            LayerNorm LocalResponseNorm CrossMapLRN2d RMSNorm RNN LSTM GRU RNNCell LSTMCell GRUCell Transformer TransformerEncoder
            TransformerDecoder TransformerEncoderLayer TransformerDecoderLayer Identity Linear Bilinear Dropout Dropout1d Dropout2d Dropout3d
            AlphaDropout FeatureAlphaDropout Embedding EmbeddingBag CosineSimilarity PairwiseDistance L1Loss MSELoss CrossEntropyLoss CTCLoss
            NLLLoss PoissonNLLLoss GaussianNLLLoss KLDivLoss BCELoss BCEWithLogitsLoss MarginRankingLoss HingeEmbeddingLoss MultiLabelMarginLoss
            HuberLoss SmoothL1Loss SoftMarginLoss MultiLabelSoftMarginLoss CosineEmbeddingLoss MultiMarginLoss TripletMarginLoss
            TripletMarginWithDistanceLoss PixelShuffle PixelUnshuffle Upsample UpsamplingNearest2d UpsamplingBilinear2d ChannelShuffle DataParallel
            Flatten Unflatten
            """),
        new("torch.nn.Module", "Module.", [typeof(Module)],
            """
            forward training train eval parameters named_parameters buffers named_buffers children named_children modules named_modules state_dict
            load_state_dict zero_grad apply to float double half bfloat16 requires_grad_ register_buffer register_parameter register_module
            register_forward_hook register_forward_pre_hook register_full_backward_hook get_submodule get_parameter get_buffer extra_repr cuda
            """),
        new("torch.nn.utils", "nn.utils.", [typeof(Utils), typeof(RnnUtils)],
            """
            clip_grad_norm_ clip_grad_value_ parameters_to_vector vector_to_parameters weight_norm remove_weight_norm spectral_norm
            remove_spectral_norm rnn.pad_sequence rnn.pack_padded_sequence rnn.pad_packed_sequence
            """),
        new("torch.nn.functional", "F.", [typeof(F), typeof(Tensor)],
            """
            conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d unfold fold avg_pool1d avg_pool2d avg_pool3d max_pool1d
            max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d
            lp_pool1d lp_pool2d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
            adaptive_avg_pool3d scaled_dot_product_attention threshold relu hardtanh hardswish relu6 elu selu celu leaky_relu prelu rrelu glu gelu
            logsigmoid hardshrink tanhshrink softsign softplus softmin softmax softshrink gumbel_softmax log_softmax tanh sigmoid hardsigmoid silu
            mish batch_norm group_norm instance_norm layer_norm local_response_norm rms_norm normalize linear bilinear dropout alpha_dropout
            feature_alpha_dropout dropout1d dropout2d dropout3d embedding embedding_bag one_hot pairwise_distance cosine_similarity pdist
            binary_cross_entropy binary_cross_entropy_with_logits poisson_nll_loss cosine_embedding_loss cross_entropy ctc_loss gaussian_nll_loss
            hinge_embedding_loss kl_div l1_loss mse_loss margin_ranking_loss multilabel_margin_loss multilabel_soft_margin_loss multi_margin_loss
            nll_loss huber_loss smooth_l1_loss soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss pixel_shuffle
            pixel_unshuffle channel_shuffle pad interpolate upsample grid_sample affine_grid
            """),
        new("torch.nn.init", "init.", [typeof(Init)],
            """
            calculate_gain uniform_ normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_
            trunc_normal_ orthogonal_ sparse_
            """),
        new("torch.optim", "optim.", [],
            """
            Optimizer SGD Adam AdamW Adamax NAdam RAdam Adagrad Adadelta RMSprop Rprop ASGD LBFGS SparseAdam Adafactor Muon swa_utils.AveragedModel
            swa_utils.SWALR
            """),
        new("torch.optim.Optimizer", "Optimizer.", [typeof(Optimizer)], "step zero_grad state_dict load_state_dict param_groups add_param_group"),
        new("torch.optim.lr_scheduler", "lr_scheduler.", [],
            """
            LambdaLR MultiplicativeLR StepLR MultiStepLR ConstantLR LinearLR ExponentialLR PolynomialLR CosineAnnealingLR ChainedScheduler
            SequentialLR ReduceLROnPlateau CyclicLR OneCycleLR CosineAnnealingWarmRestarts
            """),
        new("torch.linalg", "linalg.", [typeof(Linalg), typeof(Tensor)],
            """
            norm vector_norm matrix_norm diagonal det slogdet cond matrix_rank cholesky qr eig eigvals eigh eigvalsh svd svdvals solve
            solve_triangular lstsq inv pinv matrix_exp matrix_power cross matmul vecdot multi_dot lu vander
            """),
        new("torch.special", "special.", Functions,
            """
            digamma entr erf erfc erfcx erfinv exp2 expit expm1 gammaln i0 i0e i1 log1p log_ndtr log_softmax logit logsumexp ndtr ndtri
            polygamma psi round sinc softmax xlog1py xlogy zeta
            """),
        new("torch.func and torch.autograd", "func.", [typeof(Functional)],
            """
            grad grad_and_value vmap vjp jvp linearize jacrev jacfwd hessian functional_call autograd.Function autograd.gradcheck
            autograd.functional.jacobian autograd.functional.hessian autograd.functional.hvp autograd.functional.vhp autograd.detect_anomaly
            utils.checkpoint
            """),
        new("torch.utils.data", "data.", [],
            """
            Dataset DataLoader TensorDataset IterableDataset Subset ConcatDataset random_split Sampler RandomSampler SequentialSampler
            SubsetRandomSampler WeightedRandomSampler BatchSampler
            """),
        new("torchvision.transforms", "transforms.", [typeof(Transforms)],
            """
            Compose Normalize RandomCrop RandomHorizontalFlip RandomVerticalFlip RandomRotation RandomResizedCrop RandomErasing ColorJitter
            Grayscale Resize CenterCrop Pad ToTensor
            """),
    ];

    /// <summary>Twins of another name: "TYPE.MEMBER", a type, or "Tensor OPERATOR".</summary>
    public static readonly Dictionary<string, string> Renamed = new()
    {
        ["torch.Tensor"] = "Tensor",
        ["torch.Generator"] = "Generator",
        ["torch.manual_seed"] = "Generator.ManualSeed",
        ["torch.no_grad"] = "NoGrad",
        ["torch.compile"] = "Functional.Jit",
        ["torch.save"] = "Safetensors.Save",
        ["torch.load"] = "Safetensors.Load",
        ["torch.tensor"] = "Tensor.FromArray",
        ["torch.as_tensor"] = "Tensor.FromArray",
        ["torch.randint"] = "Tensor.Integers",
        ["torch.randperm"] = "Tensor.Permutation",
        ["torch.absolute"] = "Tensor.Abs",
        ["torch.arccos"] = "Tensor.Acos",
        ["torch.add"] = "Tensor +",
        ["torch.sub"] = "Tensor -",
        ["torch.subtract"] = "Tensor -",
        ["torch.mul"] = "Tensor *",
        ["torch.multiply"] = "Tensor *",
        ["torch.div"] = "Tensor /",
        ["torch.divide"] = "Tensor /",
        ["torch.neg"] = "Tensor -",
        ["torch.negative"] = "Tensor -",
        ["torch.bitwise_left_shift"] = "Tensor.ShiftLeft",
        ["torch.bitwise_right_shift"] = "Tensor.ShiftRight",
        ["torch.bmm"] = "Tensor.MatMul",
        ["torch.mm"] = "Tensor.MatMul",
        ["torch.mv"] = "Tensor.MatMul",
        ["torch.chain_matmul"] = "Linalg.MultiDot",
        ["torch.clip"] = "Tensor.Clamp",
        ["torch.fliplr"] = "Tensor.Flip",
        ["torch.flipud"] = "Tensor.Flip",
        ["torch.greater"] = "Tensor.Gt",
        ["torch.less"] = "Tensor.Lt",
        ["torch.not_equal"] = "Tensor.Ne",
        ["torch.histc"] = "Tensor.Histogram",
        ["torch.inverse"] = "Linalg.Inv",
        ["torch.movedim"] = "Tensor.MoveAxis",
        ["torch.msort"] = "Tensor.Sort",
        ["torch.numel"] = "Tensor.Count",
        ["torch.pinverse"] = "Linalg.Pinv",
        ["torch.ravel"] = "Tensor.Flatten",
        ["torch.scatter"] = "Tensor.PutAlongAxis",
        ["torch.take_along_dim"] = "Tensor.TakeAlongAxis",
        ["torch.transpose"] = "Tensor.SwapAxes",
        ["torch.trapz"] = "Tensor.Trapezoid",
        ["Tensor.dim"] = "Tensor.Rank",
        ["Tensor.ndim"] = "Tensor.Rank",
        ["Tensor.numel"] = "Tensor.Count",
        ["Tensor.tolist"] = "Tensor.ToArray",
        ["Tensor.numpy"] = "Tensor.ToArray",
        ["Tensor.type"] = "Tensor.To",
        ["Tensor.float"] = "Tensor.To",
        ["Tensor.double"] = "Tensor.To",
        ["Tensor.half"] = "Tensor.To",
        ["Tensor.bfloat16"] = "Tensor.To",
        ["Tensor.int"] = "Tensor.To",
        ["Tensor.long"] = "Tensor.To",
        ["Tensor.bool"] = "Tensor.To",
        ["Tensor.requires_grad_"] = "Tensor.RequiresGrad",
        ["Tensor.expand_as"] = "Tensor.Expand",
        ["Tensor.view_as"] = "Tensor.View",
        ["Tensor.copy_"] = "Parameter.Set",
        ["Tensor.fill_"] = "Init.Constant",
        ["Tensor.zero_"] = "Init.Zeros",
        ["Tensor.normal_"] = "Init.Normal",
        ["Tensor.uniform_"] = "Init.Uniform",
        ["Tensor.scatter"] = "Tensor.PutAlongAxis",
        ["Module.requires_grad_"] = "Module.Freeze",
        ["Module.float"] = "Module.To",
        ["Module.double"] = "Module.To",
        ["Module.half"] = "Module.To",
        ["Module.bfloat16"] = "Module.To",
        ["F.one_hot"] = "Tensor.OneHot",
        ["F.upsample"] = "F.Interpolate",
        ["data.random_split"] = "Data.RandomSplit",
        ["linalg.solve_triangular"] = "Linalg.TriangularSolve",
        ["special.gammaln"] = "Tensor.Lgamma",
        ["special.psi"] = "Tensor.Digamma",
        ["func.grad_and_value"] = "Functional.ValueAndGrad",
        ["func.jacrev"] = "Functional.JacobianReverse",
        ["func.jacfwd"] = "Functional.JacobianForward",
        ["func.autograd.Function"] = "Functional.CustomGradient",
        ["func.autograd.gradcheck"] = "Functional.CheckGradient",
        ["func.autograd.functional.jacobian"] = "Functional.Jacobian",
        ["func.autograd.functional.hessian"] = "Functional.Hessian",
        ["func.autograd.functional.hvp"] = "Functional.Hvp",
        ["func.autograd.functional.vhp"] = "Functional.Hvp",
        ["func.autograd.detect_anomaly"] = "Debug.Nans",
        ["func.utils.checkpoint"] = "Functional.Checkpoint",
    };
}
