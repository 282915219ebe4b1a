// Sizes of the pipeline under test.
#define EK_QUEUE_READINGS 8
