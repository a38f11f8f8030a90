"""The request log: what was asked and answered, in files that survive a crash, then in two Delta tables of the model.

Workers append lines to segments of their own (``writer``, ``segments``, ``records``); one compactor brings them into
the tables ``inference`` and ``feedback``, each record once (``reader``, ``compaction``, ``gate``); ``tables``,
``find`` and ``feedback`` read them.
"""
