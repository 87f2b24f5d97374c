"""Many files: walks folders as a stream, works in several processes and yields each result when it is ready.

    options = BatchOptions(inputs=(Path("photos"),), out_dir=Path("out"), extension="aec", jobs=2)
    for result in run_batch(EncodeJob(quality=40), options):
        ...

For other schedulers, the parts can be used alone: `plan.plan` lists the items of a batch or of one shard, `run.do_item`
does one in the calling process, and `results.write_results` marks a shard as complete.
"""
