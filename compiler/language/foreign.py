"""Names of other frameworks, and what lnet has for them; keys are without case, underscores and dimensions."""

from __future__ import annotations

Meant = dict[str, tuple[str, ...]]
"""lnet's names for each foreign one: the first that is known where it stands counts."""


def _meant(*entries: tuple[str, str]) -> Meant:
    """Return a table of entries: foreign names and lnet's names, each with blanks between them."""
    return {name: tuple(own.split()) for names, own in entries for name in names.split()}


def _named(*entries: tuple[str, str]) -> dict[str, str]:
    """Return the hint of every name: each entry has names, with blanks between them, and their hint."""
    return {name: hint for names, hint in entries for name in names.split()}


ACTS = _named(
    ("leakyrelu lrelu leaky", "write 'leaky_relu(slope = 0.01)'"),
    ("prelu rrelu", "write 'leaky_relu(slope = 0.25)': its slope is not trained"),
    ("selu celu", "write 'elu(alpha = 1)', the nearest function of the language"),
    ("swish", "write 'silu()', which is another name for it"),
    ("mish hardswish hardsilu quickgelu", "write 'silu()', the nearest function of the language"),
    ("newgelu gelutanh", "write 'gelu()'"),
    ("relu6 thresholdedrelu", "write 'relu()', the nearest function of the language"),
    ("hardtanh softsign", "write 'tanh()', the nearest function of the language"),
    ("logistic logit expit hardsigmoid", "write 'sigmoid()'"),
    ("absolute fabs modulus", "write 'abs()'"),
)
"""Hints for functions of other frameworks, as layers and as the `act` of others."""

KINDS = ACTS | _named(
    (
        "conv convolution convolutional",
        "write 'local(field, maps, share = all)': a convolution is a local layer whose positions share their weights",
    ),
    (
        "depthwiseconv depthwise",
        "write 'local(field, maps, share = all, groups = maps)': each map is a group of its own",
    ),
    (
        "separableconv depthwiseseparableconv",
        "write 'local(field, maps, share = all, groups = maps)', and 'local(1, maps, share = all)' behind it",
    ),
    (
        "upsampling upsample upscale interpolate resize unpool unpooling maxunpool",
        "write 'transposed(2, maps, stride = 2)', whose weights are learned",
    ),
    (
        "unfold fold imcol patches extractpatches",
        "leave it out: 'local(field, maps)' reads patches as they lie",
    ),
    ("identity noop passthrough", "leave it out: a layer may be read by any number of others below it"),
    ("output", "leave it out: the last layer is the network's output"),
    ("lambda function custom", "write a plug-in (docs/plugins.md), and its name here"),
    (
        "convtranspose convtransposed transposedconv deconv deconvolution",
        "write 'transposed(field, maps, stride)', or 'decode(like = LAYER)' for the transpose of a layer that there is",
    ),
    (
        "locallyconnected unsharedconv localconv lc",
        "write 'local(field, maps)': every position learns its own weights",
    ),
    (
        "linear fc fullyconnected innerproduct affine mlp",
        "write 'dense(units)': every unit reads the whole sheet",
    ),
    ("flatten reshape view permute squeeze", "leave it out: 'dense' reads a whole sheet as it is"),
    (
        "spatialdropout alphadropout gaussiandropout dropblock gaussiannoise noise",
        "write 'dropout(rate)': units are dropped one by one",
    ),
    (
        "rmsnorm normalization normalize norm",
        "write 'lcn(field)', 'layernorm()' or 'batchnorm()': these are the normalisations that the language has",
    ),
    (
        "contrastnormalization contrastnorm localcontrastnormalization localcontrastnorm",
        "write 'lcn(field)'",
    ),
    ("zca whiten whitening pca", "write 'lcn(field)', the nearest layer of the language"),
    ("batchnormalization bn", "write 'batchnorm()'"),
    ("layernormalization", "write 'layernorm()'"),
    (
        "groupnorm groupnormalization instancenorm instancenormalization",
        "write 'layernorm(groups = 32, scale = map, shift = map)', with as many groups as maps for an instance norm",
    ),
    ("localresponsenorm localresponsenormalization", "write 'lrn(size)'"),
    ("logsoftmax", "leave it out: 'cross_entropy' reads the values before the softmax"),
    (
        "maxpool maxpooling",
        "write 'maxpool(field, stride = field)': the stride is 1 unless it is given",
    ),
    (
        "avgpool averagepool averagepooling avgpooling meanpool",
        "write 'avgpool(field, stride = field)': the stride is 1 unless it is given",
    ),
    ("lppool pool pooling", "write 'l2pool(field)', 'maxpool(field)' or 'avgpool(field)'"),
    (
        "globalavgpool globalaveragepool globalaveragepooling adaptiveavgpool gap",
        "write 'avgpool(size(LAYER.height, LAYER.width))', with the extents of the layer that it reads",
    ),
    (
        "globalmaxpool globalmaxpooling adaptivemaxpool",
        "write 'maxpool(size(LAYER.height, LAYER.width))', with the extents of the layer that it reads",
    ),
    ("activation act", "write the function itself, such as 'relu()' or 'leaky_relu(slope = 0.1)'"),
    (
        "mse mseloss meansquarederror",
        "write 'mean_squared_error(of, target = LAYER)', or 'squared_error(of, target = LAYER)' for the sum",
    ),
    (
        "l2loss squarederrorloss",
        "write 'squared_error(of, target = LAYER)', or 'l2()' for the squares of one layer",
    ),
    (
        "huber huberloss smoothl1loss smoothl1 logcosh kldiv kldivloss kldivergence hinge hingeloss",
        "write 'mean_squared_error(of, target = LAYER)', or a plug-in (docs/plugins.md)",
    ),
    (
        "contrastive contrastiveloss ntxent ntxentloss infonce simclr supcon triplet tripletloss tripletmarginloss",
        "write 'contrast(of)', of a vector, with 'frames(..., views = 2)'",
    ),
    ("cosineloss cosinesimilarity cosineembeddingloss", "write 'cosine_error(of, target = LAYER)'"),
    (
        "autoencoder reconstruction reconstruct",
        "write 'rica()', or 'decode(like = LAYER)' and 'squared_error(target = LAYER)' for its error",
    ),
    ("ica sparsecoding sparse sparsity topographicica tica", "write 'rica(sparsity = 0.1)'"),
    ("mae l1loss meanabsoluteerror", "write 'l1()': the sum of absolute values of a layer"),
    (
        "crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy nll nllloss softmaxcrossentropy "
        "softmaxloss",
        "write 'cross_entropy()', which reads the values before the softmax",
    ),
    (
        "simclr ntxent ntxentloss infonce contrastive contrastiveloss supcon byol moco",
        "write 'contrast()', of a vector in two views of each image: 'data = frames(PATH, views = 2)'",
    ),
    (
        "bce bceloss bcewithlogits bcewithlogitsloss binarycrossentropy sigmoidcrossentropy",
        "write 'one_vs_all()', which reads the values before the sigmoid",
    ),
    (
        "weightdecay l2regularization l2regularizer kernelregularizer regularizer",
        "write 'weight_l2(LAYERS, weight = 0.0005)': the sum of squares of their weights",
    ),
    ("concatenate cat merge stack", "write 'concat([left, right])'"),
    ("sum plus residual shortcut", "write 'add([left, right])'"),
    ("centercrop cropping slice", "write 'crop(size)': the central rows and columns"),
    (
        "pixelshuffle subpixel subpixelconv",
        "write 'depth_to_space(block)': a block's maps are the last to change, as TensorFlow orders them",
    ),
    ("pixelunshuffle", "write 'space_to_depth(block)'"),
    (
        "zeropadding zeropad constantpad padding",
        "write 'pad(top, bottom, left, right)', or 'pad = ...' in the layer that reads it",
    ),
    ("replicationpad replicatepad", "write 'pad(top, bottom, left, right, fill = edge)'"),
    (
        "reflectionpad reflectpad mirrorpad",
        "write 'pad(top, bottom, left, right, fill = reflect)'",
    ),
    ("circularpad periodicpad wrappad roll", "write 'pad(top, bottom, left, right, fill = wrap)'"),
    (
        "sequential module block model",
        "write 'stage NAME(PARAMETERS) { ... }' beside the network, and its name here",
    ),
)
"""Hints for kinds of other frameworks."""

FUNCTIONS = ACTS | _named(
    (
        "before after",
        "write 'pad(top, bottom, left, right)', a layer, before this one: each side has its own width",
    ),
    (
        "nadam radam lamb adadelta adamax adafactor lbfgs ftrl",
        "write 'adam(rate = 0.001)', the nearest update rule of the language",
    ),
    ("momentum nesterov", "write 'sgd(rate, momentum = 0.9)'"),
    (
        "imagefolder images image dataset folder dataloader video webdataset mnist fashionmnist cifar cifar10 cifar100 "
        "imagenet ecoset",
        "write 'frames(\"PATH\")', with the path of a folder, an archive or an array",
    ),
    ("npz npy numpy hdf5 h5 zarr array tensor", "write 'arrays(\"PATH\")', or 'frames(\"PATH\")' for images"),
    ("randomcrop centercrop resizedcrop", "write 'frames(..., crop = random)', or 'crop = center'"),
    ("randomresizedcrop", "write 'zoom(0.33)': a part of the image, scaled to the input"),
    ("randomhorizontalflip horizontalflip flip hflip randomflip", "write 'frames(..., flip = true)'"),
    ("randomrotation randomaffine rotation", "write 'rotate(10)'"),
    ("translate translation randomtranslation jitter", "write 'shift(4)'"),
    (
        "colorjitter colourjitter",
        "write 'brightness(0.125)', 'contrasts(0.5)', 'saturation(0.5)' and 'hue(0.1)'",
    ),
    ("contrast randomcontrast", "write 'contrasts(0.5)'"),
    ("randombrightness", "write 'brightness(0.125)'"),
    ("randomgrayscale grayscale togray", "write 'grey(0.2)'"),
    ("gaussianblur", "write 'blur(2)'"),
    ("randomerasing randomcutout erase", "write 'cutout(8)'"),
    ("normalize normalise", "write 'frames(..., normalize = image)'"),
    ("min max len round int", "write the number itself: '+ - * / //' compute with numbers and sizes"),
)
"""Hints for functions of other frameworks."""

ARGUMENTS = _meant(
    ("kernel kernelsize filtersize poolsize ksize window size", "field"),
    ("filters channels outchannels features outfeatures numoutput nodes neurons hidden", "maps units"),
    ("strides step", "stride"),
    ("dilationrate", "dilation"),
    ("group numgroups", "groups"),
    ("outputpadding", "extra"),
    ("padding zeros", "pad"),
    ("usebias", "bias"),
    ("activation nonlinearity", "act"),
    ("epsilon", "eps"),
    ("initializer kernelinitializer weightinit", "init"),
    ("constraint kernelconstraint", "constrain"),
    ("lr learningrate eta", "rate speed"),
    ("lrmult trainable requiresgrad frozen", "speed"),
    ("input inputs x", "of values"),
    ("beta1", "b1"),
    ("beta2", "b2"),
    ("betas", "b1"),
    ("rho", "decay"),
    ("tau temp", "temperature"),
    ("lambda lam", "sparsity"),
    ("y", "targets"),
    ("folder directory root file", "path"),
    ("hflip horizontalflip randomflip mirror", "flip"),
    ("augmentation augmentations transform transforms", "augment"),
    ("normalise normalization standardize mean std", "normalize"),
    ("classes", "labels units"),
)
"""lnet's names for arguments of other frameworks."""

ATTRIBUTES = _meant(
    ("channels filters features depth units", "maps"),
    ("rows", "height"),
    ("columns cols", "width"),
)
"""lnet's names for properties of layers."""

ARGUMENT_TEXTS = _named(
    (
        "inchannels infeatures inputshape inputdim inputsize inmaps",
        "leave it out: a layer knows the layer that it reads",
    ),
    (
        "kernelregularizer biasregularizer activityregularizer regularizer regularization",
        "leave it out, and write an objective: 'weight_l2(LAYERS, weight = 0.0005)'",
    ),
    (
        "weightdecay l2",
        "write 'adamw(rate = 0.001, weight_decay = 0.01)', or an objective: 'weight_l2(LAYERS, weight = 0.0005)'",
    ),
    ("dataformat implementation device", "leave it out: a file says nothing of how it is computed"),
    ("dtype", "leave it out: 'train { precision = bfloat16 }' is for the whole network"),
    ("name", "leave it out: the name stands before the kind, 'NAME: KIND(...)'"),
    ("biasinitializer", "leave it out: biases begin as 0"),
    ("shuffle", "leave it out: every pass over the data has an order of its own"),
    ("grayscale greyscale gray grey colormode", "leave it out: images are grey for an input of one map"),
    ("resize scale", "write 'crop = resize', which scales the short side first"),
    ("batchsize", "it is a setting of its own: 'train { batch = 100 }'"),
    (
        "across",
        "leave it out: with 'maps = 10x10' and 'depth_to_space(LAYER.patch)' below it, pools reach over neighbouring units",
    ),
    ("axis dim", "leave it out: 'concat' joins the maps of layers of one extent"),
    ("split fraction validationsplit", "leave it out: other images are in another folder, archive or array"),
)
"""Hints for arguments of other frameworks that have no name here."""

SETTINGS = _named(
    (
        "lr learningrate eta baselr stepsize",
        "write it in the update rule: 'update = adam(rate = 0.001)'",
    ),
    (
        "optimizer optimiser optim solver rule",
        "write 'update = adam(rate = 0.001)': the update rules are {rules}",
    ),
    ("epoch numepochs nepochs maxepochs passes", "did you mean 'epochs'?"),
    (
        "gradientaccumulation gradientaccumulationsteps accumulationsteps accumulategradbatches itersize",
        "did you mean 'accumulate'?",
    ),
    (
        "clipvalue clipnorm clipgrad gradclip gradientclip gradientclipval gradientclipping maxgradnorm globalclipnorm",
        "write 'clip = 1.0' to limit the norm of all gradients together, or 'clip = each(1.0)' to limit that of each array",
    ),
    ("batchsize minibatch bs", "did you mean 'batch'?"),
    ("iterations maxiter numsteps maxsteps trainsteps numiterations", "did you mean 'steps'?"),
    ("dataset images folder files trainset", "write 'data = frames(\"PATH\")'"),
    (
        "validationdata valdata val valset validset validationset evaldata evaldataset testdata testset holdout",
        "write 'validation = frames(\"PATH\")'",
    ),
    (
        "validationsplit valsplit",
        "put the images of the validation elsewhere, and write 'validation = frames(\"PATH\")'",
    ),
    (
        "validationfreq validationsteps evalevery evalsteps evalinterval valcheckinterval checkvaleverynepoch",
        "did you mean 'validate_every'?",
    ),
    (
        "savebestonly savebest loadbestmodelatend monitor metricforbestmodel earlystopping patience",
        "write 'keep_best = loss' or 'keep_best = accuracy': the best parameters are kept beside the newest",
    ),
    ("randomseed randomstate manualseed", "did you mean 'seed'?"),
    ("dtype amp mixedprecision fp16 bf16 halfprecision", "did you mean 'precision'?"),
    ("saveevery checkpointevery saveinterval", "did you mean 'checkpoint'?"),
    (
        "loss losses criterion objective metrics",
        "objectives are items of the network, such as 'learn: cross_entropy()'",
    ),
    (
        "scheduler lrschedule",
        "write it in the update rule: 'update = adam(rate = 0.001, schedule = cosine)'",
    ),
    (
        "warmupsteps warmupepochs rampup",
        "write it in the update rule: 'update = adam(rate = 0.001, rise = 500)'",
    ),
    (
        "weightdecay l2 regularization regularizer",
        "write it in the update rule: 'update = adamw(rate = 0.001, weight_decay = 0.01)', or as an objective: "
        "'weight_l2(LAYERS, weight = 0.0005)'",
    ),
    (
        "workers numworkers gpus gpu devices device numgpus machines threads",
        "leave it out: a file says nothing of machines; 'lnetc run --devices N', 'lnetc compile --workers N' and "
        "'lnetc run --cluster' do",
    ),
    ("shuffle", "leave it out: every pass over the data has an order of its own"),
    ("verbose logevery loginterval logging log", "leave it out: every step is in 'events.jsonl' of a run"),
    (
        "resume restore loadfrom initfrom pretrained",
        "leave it out: 'lnetc resume RUN', or 'lnetc run --from RUN'",
    ),
    ("stepsperepoch", "leave it out: 'epochs' counts the images itself"),
    (
        "momentumterm beta1 beta2 betas",
        "write it in the update rule: 'update = adam(rate = 0.001, b1 = 0.9)'",
    ),
    ("directory output outputdir logdir", "leave it out: 'lnetc run -d DIRECTORY' says where a run is kept"),
)
"""Hints for settings of other frameworks."""

WORDS = _meant(
    ("linear identity null nil nothing inf infinity unlimited", "none"),
    ("yes on", "true"),
    ("no off", "false"),
    ("conv convolution convolutional full shared", "all"),
    ("xavier xavieruniform glorot", "glorot_uniform"),
    ("xaviernormal", "glorot_normal"),
    ("he kaiming kaiminguniform", "he_uniform"),
    ("kaimingnormal", "he_normal"),
    ("gaussian randomnormal truncatednormal truncnormal lecunnormal lecun default", "normal"),
    ("lecununiform randomuniform", "uniform"),
    ("fp32 float single", "float32"),
    ("fp64 double", "float64"),
    ("fp16 half", "float16"),
    ("bf16 mixed mixedbfloat16", "bfloat16"),
    ("mixedfloat16", "float16"),
    ("tensorfloat tensorfloat32 tfloat32", "tf32"),
    ("unitnorm normalized", "unit"),
    ("imagenet standard standardize zscore", "image"),
    ("minmax tanh", "symmetric"),
    ("subfolder directory subfolders", "folder"),
    ("centre", "center"),
    ("cosineannealing cosinedecay", "cosine"),
    ("linearlr lineardecay", "linear"),
)
"""lnet's words for those of other frameworks."""

VALUES = ACTS | _named(
    (
        "circular periodic cyclic wrap",
        "write 'pad(top, bottom, left, right, fill = wrap)', a layer, before this one",
    ),
    (
        "causal half",
        "write 'pad(top, bottom, left, right)', a layer, before this one: each side has its own width",
    ),
    (
        "replicate nearest edge",
        "write 'pad(top, bottom, left, right, fill = edge)', a layer, before this one",
    ),
    (
        "mirror reflection reflect",
        "write 'pad(top, bottom, left, right, fill = reflect)', a layer, before this one",
    ),
    ("zeros", "write 0"),
)
"""Hints for constants of other languages."""
