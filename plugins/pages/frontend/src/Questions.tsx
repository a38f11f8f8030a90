import { useState } from "react";
import Markdown from "react-markdown";
import remarkGfm from "remark-gfm";
import { answerQuestion, cardAddress, runAddress } from "./airflow";
import { Comparison } from "./Comparison";
import { Confirm } from "./Confirm";
import { Out, Section } from "./parts";
import { theme } from "./theme";
import type { ModelPageData, Question } from "./types";
import { ago } from "./words";

/** A question and what somebody is about to answer. */
interface Answer {
  question: Question;
  option: string;
}

/**
 * What waits for a person. The dialog belongs to the list: a question leaves the page as soon as it is answered, by this
 * person or another, and must not take along the words that somebody is writing or reading.
 */
export function Questions({ model, data, done }: { model: string; data: ModelPageData; done: () => void }) {
  const [answer, setAnswer] = useState<Answer>();
  return (
    <>
      {data.questions.map((question) => (
        <OneQuestion
          key={keyOf(question)}
          model={model}
          question={question}
          data={data}
          choose={(option) => setAnswer({ question, option })}
        />
      ))}
      {answer && (
        <Confirm
          title={`${answer.option}: ${answer.question.subject}`}
          button={answer.option}
          danger={answer.option !== "Approve"}
          user={data.user}
          close={() => setAnswer(undefined)}
          act={async (reason) => {
            await answerQuestion(answer.question, answer.option, reason);
            done();
            return "Your answer is recorded; the deployment goes on from here.";
          }}
        >
          {!data.questions.some((question) => keyOf(question) === keyOf(answer.question)) && (
            <p className="badtext">The question is no longer open: it was answered elsewhere, or its run has ended.</p>
          )}
          <p>Your answer goes to the deployment that waits for it, and with your name and reason into the ledger.</p>
        </Confirm>
      )}
    </>
  );
}

const keyOf = (question: Question) => `${question.run_id}/${question.task_id}`;

interface Asked {
  model: string;
  question: Question;
  data: ModelPageData;
  choose: (option: string) => void;
}

function OneQuestion({ model, question, data, choose }: Asked) {
  const { champion, challenger } = data.line.overview;
  const id = `question-${question.run_id}`;
  return (
    <Section id={id} title={question.subject} note={<>asked {ago(question.created_at, Date.parse(data.read_at))}, <Out href={runAddress(question.dag_id, question.run_id)}>its run</Out></>}>
      <div className="words">
        <Markdown remarkPlugins={[remarkGfm]}>{question.body ?? ""}</Markdown>
      </div>
      {challenger && (
        <>
          <h3>Comparison with the champion</h3>
          <Comparison model={model} version={challenger.version} champion={champion?.version} metrics={data.about?.metrics ?? []} />
          <details className="card-of" open>
            <summary>Model card of version {challenger.version}</summary>
            <iframe src={`${cardAddress(model, challenger.version)}?theme=${theme()}`} title={`Model card of version ${challenger.version}`} />
            <a href={cardAddress(model, challenger.version)}>The card alone</a>
          </details>
        </>
      )}
      {data.may_answer ? (
        <div className="buttons">
          {question.options.map((name) => (
            <button key={name} type="button" className={name === "Approve" ? "primary" : "danger"} onClick={() => choose(name)}>
              {name}…
            </button>
          ))}
        </div>
      ) : (
        <p className="soft">You may look at this question, not answer it.</p>
      )}
    </Section>
  );
}
