export type {
  Base,
  BasePrecision,
  ChoiceJob,
  ChoiceQuestion,
  ChoiceResult,
  DataFields,
  DataSource,
  EvaluationJob,
  EvaluationResult,
  GeneratedText,
  GeneratedToken,
  GenerationJob,
  GenerationResult,
  HeldOutScore,
  JobCount,
  JobOptions,
  LoraModule,
  ModelConfig,
  ModuleShape,
  SamplingSettings,
  TrainingJob,
  TrainingProgress,
  TrainingResult,
  TrainingSettings,
  TunerPool,
} from "./api.js"

export { inspectModel } from "./weights/inspect-model.js"
export type { ModelReport } from "./weights/inspect-model.js"
export { loadBase } from "./weights/load-base.js"
export { readModelConfig } from "./weights/model-config.js"
export { openModelFiles } from "./weights/model-files.js"
export type { ModelFiles } from "./weights/model-files.js"
export { moduleShapes } from "./weights/module-shapes.js"
export { quantizeModel } from "./weights/quantize-model.js"
export type { QuantizedTensor } from "./weights/quantize-model.js"
export { saveBase } from "./weights/save-base.js"
export { sharedBase } from "./weights/shared-base.js"

export { loadTokenizer } from "./tokenizer/load-tokenizer.js"
export type { Tokenizer } from "./tokenizer/tokenizer.js"
export { loadChatTemplate } from "./tokenizer/load-chat-template.js"
export type { ChatMessage, ChatTemplate } from "./tokenizer/chat-template.js"

export { loadDocuments, readDocuments } from "./data/documents.js"
export type { Document, TextSegment } from "./data/documents.js"
export type { DataPart } from "./data/held-out.js"
export { readRows } from "./data/read-rows.js"
export type { SourceRow } from "./data/read-rows.js"

export { corpusBleu } from "./judge/bleu.js"
export type { BleuScore, JudgedAnswer } from "./judge/bleu.js"
export { answerTasks } from "./judge/answer-tasks.js"
export type { AnswerTask } from "./judge/answer-tasks.js"
export { choiceQuestion } from "./judge/choice-questions.js"
export type { ChoiceStyle } from "./judge/choice-questions.js"
export { readRecords } from "./judge/records.js"
export type { DataRecord } from "./judge/records.js"
export { judgeChoices } from "./judge/choice.js"
export { exactMatch } from "./judge/exact-match.js"
export { rougeL } from "./judge/rouge.js"
export type { RougeScore } from "./judge/rouge.js"

export { writeGgufAdapter } from "./export/gguf-adapter.js"
export { writeMergedModel } from "./export/merged-model.js"
export type { MergedType } from "./model/merged-linear.js"

export { peftBaseName, readPeftAdapter } from "./peft/read-adapter.js"
export { writePeftAdapter } from "./peft/write-adapter.js"

export { nameHash, threefry } from "./model/counter-random.js"
export { generate } from "./generate/generate.js"
export { evaluate } from "./evaluate/evaluate.js"
export { calibrate } from "./pool/calibrate.js"
export type { Calibration } from "./pool/calibrate.js"
export { createTunerPool } from "./pool/pool.js"
export type { TunerPoolOptions } from "./pool/pool.js"
export { train } from "./train/train.js"
